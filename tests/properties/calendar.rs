//! A calendar that counts days on its fingers, and the three ways to write an HTTP-date.

const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

const MONTHS: [(&str, u64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

/// A second, as a calendar has it.
pub(crate) struct Calendar {
    pub(crate) year: u64,
    month: &'static str,
    day: u64,
    day_name: &'static str,
    time: String,
}

impl Calendar {
    pub(crate) fn of(seconds: u64) -> Self {
        let days = seconds / 86_400;
        let day_name = DAYS[(days % 7) as usize];
        let mut day = days;
        let mut year = 1970;
        loop {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, length) in MONTHS {
                let length = length + u64::from(leap && month == "Feb");
                if day < length {
                    return Self {
                        year,
                        month,
                        day: day + 1,
                        day_name,
                        time: format!(
                            "{:02}:{:02}:{:02}",
                            seconds / 3_600 % 24,
                            seconds / 60 % 60,
                            seconds % 60
                        ),
                    };
                }
                day -= length;
            }
            year += 1;
        }
    }

    pub(crate) fn imf_fixdate(&self) -> String {
        let (name, day, month) = (&self.day_name[..3], self.day, self.month);
        format!(
            "{name}, {day:02} {month} {:04} {} GMT",
            self.year, self.time
        )
    }

    pub(crate) fn rfc850(&self) -> String {
        let (name, day, month) = (self.day_name, self.day, self.month);
        format!(
            "{name}, {day:02}-{month}-{:02} {} GMT",
            self.year % 100,
            self.time
        )
    }

    pub(crate) fn asctime(&self) -> String {
        let (name, day, month) = (&self.day_name[..3], self.day, self.month);
        format!("{name} {month} {day:>2} {} {:04}", self.time, self.year)
    }
}

/// `httpdate` does not look at every separator, nor at the space before the digit of a day.
pub(crate) fn same_but_for_separators(spelled: &str, text: &str) -> bool {
    spelled.len() == text.len()
        && spelled
            .bytes()
            .zip(text.bytes())
            .all(|(meant, sent)| meant == sent || !meant.is_ascii_alphanumeric())
}
