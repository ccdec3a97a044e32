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

    /// A place for a connection, which is to be filled or released at once.
    pub fn reserve(&mut self) -> Slot {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.places.push(Place {
                    generation: 0,
                    connection: None,
                });
                (self.places.len() - 1) as u32
            }
        };
        let generation = self.places[index as usize].generation;
        Slot { index, generation }
    }

    /// Puts a connection into its place.
    pub fn fill(&mut self, slot: Slot, connection: Connection) {
        self.places[slot.index as usize].connection = Some(connection);
    }

    /// Gives back a place that was not filled.
    pub fn release(&mut self, slot: Slot) {
        self.free.push(slot.index);
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

    /// Every connection, and its slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Connection)> {
        let places = self.places.iter().zip(0u32..);
        places.filter_map(|(place, index)| {
            let generation = place.generation;
            Some((Slot { index, generation }, place.connection.as_ref()?))
        })
    }
}
