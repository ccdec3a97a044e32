//! The connections, in places that are used again.

use super::connection::Connection;
use super::token::Slot;

struct Place {
    generation: u32,
    connection: Option<Connection>,
}

/// A table of connections with generations: a slot of a connection that is gone
/// finds nothing, even when its place is taken again.
#[derive(Default)]
pub struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
}

impl Table {
    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a connection in, and says where.
    pub fn insert(&mut self, connection: Connection) -> Slot {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.connection = Some(connection);
            return Slot {
                index,
                generation: place.generation,
            };
        }
        let index = self.places.len() as u32;
        self.places.push(Place {
            generation: 0,
            connection: Some(connection),
        });
        Slot {
            index,
            generation: 0,
        }
    }

    /// The connection at `slot`, if it is still there.
    pub fn get(&mut self, slot: Slot) -> Option<&mut Connection> {
        let place = self.places.get_mut(slot.index as usize)?;
        (place.generation == slot.generation).then_some(place.connection.as_mut())?
    }

    /// Takes the connection out; its slot is never valid again.
    pub fn remove(&mut self, slot: Slot) -> Option<Connection> {
        let place = self.places.get_mut(slot.index as usize)?;
        if place.generation != slot.generation {
            return None;
        }
        let gone = place.connection.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot.index);
        Some(gone)
    }

    /// Every connection.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.places.iter().filter_map(|p| p.connection.as_ref())
    }
}
