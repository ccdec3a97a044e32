//! A pattern as a whole: for those who hand it on instead of matching with it.

use super::{Glob, NamePattern, Part, Positions, Token, index};

impl Glob {
    /// Its components below the base; the last is a name.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What has to match below a directory that [`Glob::step`] has led to: any of these.
    pub fn rests(&self, at: Positions) -> impl Iterator<Item = &[Part]> {
        let Positions(all) = at;
        // What follows a `**` that is there as well is one of its own cases.
        let implied = (all & self.anywhere).wrapping_shl(1);
        let bits = (0..u64::BITS).map(|bit| 1u64.wrapping_shl(bit));
        bits.filter(move |bit| all & bit & !implied & !self.end != 0)
            .filter_map(|bit| self.parts.get(index(bit)..))
            .filter(|rest| !rest.is_empty())
    }

    /// The pattern for names in which no ASCII letter is a capital one, where both are the
    /// same letter: what stands in the pattern, in sets too, stands for either.
    #[must_use]
    pub fn folded(&self) -> Self {
        let part = |part: &Part| match part {
            Part::Directories => Part::Directories,
            Part::Name(name) => Part::Name(name.folded()),
        };
        Self {
            parts: self.parts.iter().map(part).collect(),
            ..self.clone()
        }
    }
}

impl NamePattern {
    /// What it is made of.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// A name that it matches besides.
    pub fn itself(&self) -> Option<&[u8]> {
        self.itself.as_deref()
    }

    fn folded(&self) -> Self {
        let token = |token: &Token| match token {
            Token::Byte(byte) => Token::Byte(byte.to_ascii_lowercase()),
            Token::One => Token::One,
            Token::Many => Token::Many,
            Token::Set { negated, ranges } => Token::Set {
                negated: *negated,
                ranges: both_cases(ranges),
            },
        };
        Self {
            itself: self.itself.as_ref().map(|own| own.to_ascii_lowercase()),
            ..Self::of(self.tokens.iter().map(token).collect())
        }
    }
}

/// The ranges, and those of the same letters in the other case.
fn both_cases(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let mut all = ranges.to_vec();
    for &(from, to) in ranges {
        let common = |first: char, last: char| {
            let both = (from.max(first), to.min(last));
            (both.0 <= both.1).then_some(both)
        };
        all.extend(common('a', 'z').map(|(a, z)| (a.to_ascii_uppercase(), z.to_ascii_uppercase())));
        all.extend(common('A', 'Z').map(|(a, z)| (a.to_ascii_lowercase(), z.to_ascii_lowercase())));
    }
    all
}
