//! The names of units: the SI with its prefixes, what chemistry, biology and control add, and what a file declares.
//!
//! Sources: BIPM, "The International System of Units" (SI Brochure), 9th edition 2019, tables 2, 4, 7 and 8; NIST Special
//! Publication 811 (2008), appendix B, for `atm`, `mmHg`, `Torr`, `psi`, `cal`; CODATA 2022 for `Da`. What is not exact by
//! definition is said so at its line.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::parse::is_name_character;
use super::{Dimension, Ratio, Scale, Unit, UnitError};
use crate::diag::Code;
use crate::diag::closest::{closest, edit_distance};

/// Prefixes of the SI with their powers of ten (SI Brochure, table 7); `µ` is read as `u`.
const PREFIXES: [(&str, i32); 26] = [
    ("da", 1),
    ("h", 2),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
    ("Z", 21),
    ("Y", 24),
    ("R", 27),
    ("Q", 30),
    ("d", -1),
    ("c", -2),
    ("m", -3),
    ("u", -6),
    ("\u{b5}", -6),
    ("\u{3bc}", -6),
    ("n", -9),
    ("p", -12),
    ("f", -15),
    ("a", -18),
    ("z", -21),
    ("y", -24),
    ("r", -27),
    ("q", -30),
];

/// Whether a unit takes the prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefixes {
    Yes,
    No,
}
use Prefixes::{No, Yes};

/// Base units other than `kg`, which is spelt by its prefix.
const BASES: [(&str, Prefixes); 9] = [
    ("m", Yes),
    ("s", Yes),
    ("A", Yes),
    ("K", Yes),
    ("mol", Yes),
    ("cd", Yes),
    // Biological activity; differs from substance to substance, so it converts to nothing else.
    ("IU", Yes),
    ("cell", No),
    // Optical density; what it means in cells is for a calibration to say.
    ("OD", Yes),
];

/// `(name, number, unit, prefixes)`: the name stands for the number of the unit. Each line uses only lines before it.
const DERIVED: [(&str, &str, &str, Prefixes); 63] = [
    // Pure numbers.
    ("rad", "1", "1", Yes),
    ("sr", "1", "1", No),
    ("%", "1e-2", "1", No),
    ("percent", "1e-2", "1", No),
    ("ppm", "1e-6", "1", No),
    ("ppb", "1e-9", "1", No),
    // Derived units of the SI.
    ("Hz", "1", "1/s", Yes),
    ("Bq", "1", "1/s", Yes),
    ("N", "1", "kg*m/s^2", Yes),
    ("Pa", "1", "N/m^2", Yes),
    ("J", "1", "N*m", Yes),
    ("W", "1", "J/s", Yes),
    ("C", "1", "A*s", Yes),
    ("V", "1", "W/A", Yes),
    ("F", "1", "C/V", Yes),
    ("Ohm", "1", "V/A", Yes),
    ("ohm", "1", "V/A", Yes),
    ("\u{3a9}", "1", "V/A", Yes),
    ("S", "1", "A/V", Yes),
    ("Wb", "1", "V*s", Yes),
    ("T", "1", "Wb/m^2", Yes),
    ("H", "1", "Wb/A", Yes),
    ("lm", "1", "cd*sr", Yes),
    ("lx", "1", "lm/m^2", Yes),
    ("Gy", "1", "J/kg", Yes),
    ("Sv", "1", "J/kg", Yes),
    ("kat", "1", "mol/s", Yes),
    // Time. A year is the Julian one of 365.25 d.
    ("min", "60", "s", No),
    ("h", "60", "min", No),
    ("hr", "60", "min", No),
    ("d", "24", "h", No),
    ("day", "24", "h", No),
    ("days", "24", "h", No),
    ("week", "7", "d", No),
    ("weeks", "7", "d", No),
    ("year", "365.25", "d", No),
    ("years", "365.25", "d", No),
    // Volume, mass, length.
    ("L", "1e-3", "m^3", Yes),
    ("l", "1e-3", "m^3", Yes),
    ("t", "1e3", "kg", No),
    // Measured: 1.660 539 068 92(52)e-27 kg (CODATA 2022).
    ("Da", "1.66053906892e-27", "kg", Yes),
    ("angstrom", "1e-10", "m", No),
    ("\u{c5}", "1e-10", "m", No),
    ("ha", "1e4", "m^2", No),
    // Pressure. The millimetre of mercury is the conventional one, 13.5951 g/cm^3 times standard gravity.
    ("bar", "1e5", "Pa", Yes),
    ("atm", "101325", "Pa", No),
    ("mmHg", "133.322387415", "Pa", No),
    // Energy. The calorie is the thermochemical one.
    ("cal", "4.184", "J", Yes),
    ("eV", "1.602176634e-19", "J", Yes),
    ("Wh", "3600", "J", Yes),
    ("Ah", "3600", "C", Yes),
    // Chemistry and biology.
    ("M", "1", "mol/L", Yes),
    ("U", "1", "IU", Yes),
    ("cells", "1", "cell", No),
    // British and American units that sensors still speak.
    ("inch", "0.0254", "m", No),
    ("ft", "0.3048", "m", No),
    ("lb", "0.45359237", "kg", No),
    ("lbf", "9.80665", "lb*m/s^2", No),
    ("psi", "1", "lbf/inch^2", No),
    ("hp", "550", "ft*lbf/s", No),
    ("gal", "231", "inch^3", No),
    ("mile", "5280", "ft", No),
    ("knot", "1852", "m/h", No),
];

/// Words people write, with the unit they mean.
const MEANT: [(&str, &str); 44] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("yr", "year"),
    ("gram", "g"),
    ("grams", "g"),
    ("gr", "g"),
    ("meter", "m"),
    ("metre", "m"),
    ("meters", "m"),
    ("micron", "um"),
    ("liter", "L"),
    ("litre", "L"),
    ("liters", "L"),
    ("litres", "L"),
    ("mole", "mol"),
    ("moles", "mol"),
    ("molar", "M"),
    ("millimolar", "mM"),
    ("micromolar", "uM"),
    ("nanomolar", "nM"),
    ("cc", "mL"),
    ("mcg", "ug"),
    ("kelvin", "K"),
    ("celsius", "degC"),
    ("deg_c", "degC"),
    ("degree", "deg"),
    ("degrees", "deg"),
    ("radian", "rad"),
    ("radians", "rad"),
    ("newton", "N"),
    ("joule", "J"),
    ("watt", "W"),
    ("volt", "V"),
    ("pascal", "Pa"),
    ("dalton", "Da"),
    ("dimensionless", "1"),
];

#[derive(Debug, Clone)]
struct Entry {
    unit: Unit,
    prefixes: Prefixes,
    /// A base unit, which a file may declare again to the same effect.
    is_base: bool,
}

/// The units a file may name: the standard ones and its own.
#[derive(Debug, Clone)]
pub struct Units {
    entries: BTreeMap<String, Entry>,
}

impl Units {
    /// The standard table.
    pub fn standard() -> Self {
        static STANDARD: OnceLock<Units> = OnceLock::new();
        STANDARD.get_or_init(Units::build).clone()
    }

    fn build() -> Self {
        let mut units = Units { entries: BTreeMap::new() };
        for (name, prefixes) in BASES {
            units.add_base(name, prefixes);
        }
        let gram = Unit::named("g", Dimension::base("kg"), Scale::power_of_ten(-3));
        units.add("g", gram, Yes);
        units.add("degC", Unit::celsius(), No);
        for (name, number, unit, prefixes) in DERIVED {
            // A test asks for every line, so none is lost here unseen.
            if let (Ok(number), Ok(unit)) = (number.parse(), units.parse(unit))
                && let Some(unit) = unit.scaled(number)
            {
                units.add(name, unit.renamed(name), prefixes);
            }
        }
        units.add_quotients();
        units
    }

    /// The units whose size is a quotient or has π.
    fn add_quotients(&mut self) {
        let inverse = Ratio::integer(-1);
        let of = |number: f64| Scale::from_f64(number).unwrap_or_else(Scale::one);
        let deg = Scale::pi().times(&of(180.0), inverse);
        self.add("deg", Unit::named("deg", Dimension::one(), deg), No);
        // NIST SP 811: 1 Torr = (101325/760) Pa.
        if let Ok(atm) = self.parse("atm") {
            let part = Unit::named("Torr", Dimension::one(), Scale::one().times(&of(760.0), inverse));
            self.add("Torr", part.mul(&atm).renamed("Torr"), Yes);
        }
        // SI Brochure, section 2.3.1: one mole contains exactly 6.022 140 76e23 elementary entities.
        let entity = Scale::one().times(&of(6.02214076e23), inverse);
        for name in ["item", "items", "molecule", "molecules"] {
            self.add(name, Unit::named(name, Dimension::base("mol"), entity.clone()), No);
        }
    }

    fn add_base(&mut self, name: &str, prefixes: Prefixes) {
        let unit = Unit::named(name, Dimension::base(name), Scale::one());
        self.entries.insert(name.to_string(), Entry { unit, prefixes, is_base: true });
    }

    fn add(&mut self, name: &str, unit: Unit, prefixes: Prefixes) {
        self.entries.insert(name.to_string(), Entry { unit, prefixes, is_base: false });
    }

    /// Makes `name` a base unit with a dimension of its own (`unit cell`). Declaring a base unit again changes nothing.
    ///
    /// # Errors
    /// Where `name` is no name for a unit, or already another unit.
    pub fn define_base(&mut self, name: &str) -> Result<(), UnitError> {
        if self.entries.get(name).is_some_and(|entry| entry.is_base) {
            return Ok(());
        }
        self.check_new(name)?;
        self.add_base(name, No);
        Ok(())
    }

    /// Makes `name` stand for `unit` (`unit OD = 1e9 [cell/L]` with [`Unit::scaled`]). `OD`, which means nothing without
    /// a calibration, may be declared again; no other name may.
    ///
    /// # Errors
    /// Where `name` is no name for a unit or already taken, or `unit` is out of range.
    pub fn define(&mut self, name: &str, unit: &Unit) -> Result<(), UnitError> {
        let is_uncalibrated = name == "OD" && self.entries.get(name).is_some_and(|entry| entry.is_base);
        if !is_uncalibrated {
            self.check_new(name)?;
        }
        if !unit.is_in_range() {
            return Err(UnitError::form(0..name.len(), format!("an exponent of `{name}` is too large")));
        }
        self.add(name, unit.renamed(name), if is_uncalibrated { Yes } else { No });
        Ok(())
    }

    fn check_new(&self, name: &str) -> Result<(), UnitError> {
        if name.is_empty() || !name.chars().all(is_name_character) || name.starts_with('_') {
            let message = format!("`{name}` cannot name a unit");
            return Err(UnitError::form(0..name.len(), message).help("use letters, with `_` between them"));
        }
        match self.named(name) {
            Err(_) => Ok(()),
            Ok(known) => {
                let code = Code("E0202");
                let message = format!("the unit `{name}` is declared twice");
                let help = match self.entries.contains_key(name) {
                    true => "it is known already; choose another name".to_string(),
                    false => format!("`{known}` is a unit with a prefix; choose another name"),
                };
                Err(UnitError { code, help: Some(help), ..UnitError::form(0..name.len(), message) })
            }
        }
    }

    /// True where `name` is a unit as it stands, without a prefix.
    pub fn is_defined(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// All names without prefixes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The unit called `name`, with or without a prefix.
    ///
    /// # Errors
    /// `E0303` with what may have been meant.
    pub(super) fn named(&self, name: &str) -> Result<Unit, UnitError> {
        if let Some(entry) = self.entries.get(name) {
            return Ok(entry.unit.clone());
        }
        let prefixed = PREFIXES.iter().find_map(|(prefix, exponent)| {
            let entry = self.entries.get(name.strip_prefix(prefix)?)?;
            (entry.prefixes == Yes).then_some((entry, *exponent))
        });
        match prefixed {
            Some((entry, exponent)) => {
                let ten = Unit::named("", Dimension::one(), Scale::power_of_ten(exponent));
                let canonical = name.replacen(['\u{b5}', '\u{3bc}'], "u", 1);
                Ok(ten.mul(&entry.unit).renamed(&canonical))
            }
            None => Err(self.unknown(name)),
        }
    }

    /// The error for a name that is no unit.
    fn unknown(&self, name: &str) -> UnitError {
        let error = UnitError { code: Code("E0303"), ..UnitError::form(0..name.len(), "") };
        let error = UnitError { message: format!("the unit `{name}` is not known"), ..error };
        match self.suggestion(name) {
            Some((meant, is_sure)) => {
                let help = Some(format!("did you mean `{meant}`?"));
                UnitError { help, replacement: is_sure.then_some(meant), ..error }
            }
            None => error.help("declare it, as in `unit cell` or `unit dozen = 12 [1]`"),
        }
    }

    /// What `name` was probably meant to be, if it is one thing, and whether that is sure enough for a machine to repair
    /// it: another word or another case is, a guess at a slip of the finger could be a wrong unit of the same dimension.
    fn suggestion(&self, name: &str) -> Option<(String, bool)> {
        let lower = name.to_lowercase();
        if let Some((_, meant)) = MEANT.iter().find(|(word, _)| *word == lower) {
            return Some(((*meant).to_string(), true));
        }
        let spellings: Vec<String> = self.spellings().collect();
        let mut same_letters = spellings.iter().filter(|spelling| spelling.to_lowercase() == lower);
        if let Some(only) = same_letters.next()
            && same_letters.next().is_none()
        {
            // One letter in the other case is another unit as often as a slip.
            return Some((only.clone(), name.chars().count() > 1));
        }
        // Among names of one or two letters everything is close to everything.
        if name.chars().count() < 3 {
            return None;
        }
        let best = closest(name, spellings.iter().map(String::as_str))?;
        let distance = edit_distance(name, best);
        let is_unique = spellings.iter().filter(|spelling| edit_distance(name, spelling) == distance).count() == 1;
        is_unique.then(|| (best.to_string(), false))
    }

    /// Every name, with and without prefixes.
    fn spellings(&self) -> impl Iterator<Item = String> {
        self.entries.iter().flat_map(|(name, entry)| {
            let prefixes = PREFIXES.iter().filter(|(prefix, _)| entry.prefixes == Yes && prefix.is_ascii());
            std::iter::once(name.clone()).chain(prefixes.map(move |(prefix, _)| format!("{prefix}{name}")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_unit() {
        let units = Units::standard();
        for name in BASES.iter().map(|row| row.0).chain(DERIVED.iter().map(|row| row.0)) {
            assert!(units.entries.contains_key(name), "{name}");
            assert!(units.parse(name).is_ok(), "{name}");
        }
        for (word, meant) in MEANT {
            assert!(units.parse(meant).is_ok(), "{word} suggests {meant}");
            assert!(units.parse(word).is_err(), "{word} is a unit and needs no suggestion");
        }
    }

    #[test]
    fn a_prefix_never_hides_or_doubles_a_name() {
        let units = Units::standard();
        let mut seen: BTreeMap<String, Unit> = BTreeMap::new();
        for spelling in units.spellings() {
            let Ok(unit) = units.parse(&spelling) else { panic!("{spelling}") };
            if let Some(other) = seen.insert(spelling.clone(), unit.clone()) {
                // `cd` is candela, never a hundredth of a day; a spelling with two readings must be resolved here.
                assert_eq!(other, unit, "{spelling}");
            }
        }
    }
}
