//! What other threads may ask of a session.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Answer, AskId, RunId, Settings, Tunnels};
use crate::reactor::wake::Wake;

/// What is asked.
pub(super) enum Order {
    Update(Settings, Tunnels),
    Answer(AskId, Answer),
    Kill(RunId, i32),
}

/// Reaches a [`Session`](super::Session), or a command that runs, from another thread. Cheap
/// to clone. What is asked of one that has ended is lost.
///
/// # Examples
///
/// ```standalone_crate
/// use sandbox_runtime::{Command, Event, Session, Settings};
///
/// fn main() -> Result<(), sandbox_runtime::Error> {
///     sandbox_runtime::init();
///     let mut session = Session::new(&Settings::default())?;
///     let run = session.spawn(Command::new("sleep").arg("600"))?.run;
///     let handle = session.handle();
///     let other = std::thread::spawn(move || handle.kill(run, 9));
///     while !session.is_idle() {
///         if let Some(Event::Ended(ended)) = session.next(None)? {
///             assert_eq!((ended.run, ended.status?), (run, 128 + 9));
///         }
///     }
///     other.join().unwrap();
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Handle {
    orders: Arc<Mutex<VecDeque<Order>>>,
    wake: Wake,
}

impl Handle {
    pub(super) fn new(wake: Wake) -> Self {
        Self {
            orders: Arc::default(),
            wake,
        }
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock();
        let mut orders = orders.unwrap_or_else(PoisonError::into_inner);
        orders.push_back(order);
        drop(orders);
        self.wake.wake();
    }

    /// What has been asked, in its order.
    pub(super) fn take(&self) -> VecDeque<Order> {
        let orders = self.orders.lock();
        std::mem::take(&mut *orders.unwrap_or_else(PoisonError::into_inner))
    }

    /// As [`Session::update`](super::Session::update). Rules that are refused are told by
    /// [`Event::Note`](super::Event::Note), and the old ones stay.
    pub fn update(&self, settings: &Settings, tunnels: Tunnels) {
        self.order(Order::Update(settings.clone(), tunnels));
    }

    /// As [`Session::answer`](super::Session::answer).
    pub fn answer(&self, ask: AskId, answer: Answer) {
        self.order(Order::Answer(ask, answer));
    }

    /// As [`Session::kill`](super::Session::kill).
    pub fn kill(&self, run: RunId, signal: i32) {
        self.order(Order::Kill(run, signal));
    }
}
