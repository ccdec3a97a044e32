//! DNS on TCP (RFC 7766): questions behind their length, answered one after the other.

use super::conversation::{Conversation, State};
use super::events::{Action, Mode};
use crate::limits::QUESTIONS;
use crate::parse::Status;
use crate::parse::dns::framed;

impl Conversation {
    /// Takes one question from the bytes at hand, after `count`; nothing more is taken
    /// before it is answered.
    pub(super) fn take_question(&mut self, count: u32, actions: &mut Vec<Action>) {
        match framed(&self.input) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete { value, used }) => {
                actions.push(Action::Ask(value.to_vec()));
                actions.push(Action::FromClient(Mode::Wait));
                self.used(used);
                self.become_(State::Answering(count));
            }
            // Where the next one begins is not known.
            Err(_) => self.close(actions),
        }
    }

    /// The answer to the question that was taken.
    pub(super) fn answer_question(&mut self, answer: Option<&[u8]>, actions: &mut Vec<Action>) {
        let State::Answering(count) = self.state else {
            return;
        };
        let Some(answer) = answer else {
            return self.close(actions);
        };
        let length = u16::try_from(answer.len()).unwrap_or(0);
        actions.push(Action::Reply([&length.to_be_bytes(), answer].concat()));
        let count = count.saturating_add(1);
        if count >= QUESTIONS {
            return self.close(actions);
        }
        actions.push(Action::FromClient(Mode::Talk));
        self.become_(State::Questions(count));
        self.take_question(count, actions);
    }
}
