//! Numbers as people read them: rows, bytes, durations and times.

use std::borrow::Cow;
use std::time::Duration;

use jiff::{Timestamp, Unit};

/// The binary units, each 1024 of the one before.
const BYTE_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number with its thousands apart: `1,234,567`.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what is counted: `1 row`, `2 rows`.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Bytes in the largest unit that leaves a number of at least 1: `1.5 MiB`.
pub(super) fn bytes(bytes: i64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, so that no floating point is needed.
    let mut tenths = u128::from(bytes.unsigned_abs()) * 10;
    let mut unit = "B";
    for next in BYTE_UNITS {
        // What would be printed as 1024 is 1 of the next unit.
        if (tenths + 5) / 10 < 1024 {
            break;
        }
        tenths = (tenths + 512) / 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// How long something took: `0.4 ms`, `12 ms`, `1.23 s`, `2 min 5 s`.
pub(super) fn duration(duration: prost_types::Duration) -> String {
    let micros = duration
        .seconds
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(duration.nanos) / 1_000);
    let (millis, seconds) = (micros / 1_000, micros / 1_000_000);
    if micros < 10_000 {
        format!("{millis}.{} ms", micros / 100 % 10)
    } else if seconds < 1 {
        format!("{millis} ms")
    } else if seconds < 60 {
        format!("{seconds}.{:02} s", millis / 10 % 100)
    } else if seconds < 3_600 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {} min", count(seconds / 3_600), seconds / 60 % 60)
    }
}

/// Two durations together; none when either is unknown.
pub(super) fn sum(
    one: Option<prost_types::Duration>,
    other: Option<prost_types::Duration>,
) -> Option<prost_types::Duration> {
    let (one, other): (Duration, Duration) = (one?.try_into().ok()?, other?.try_into().ok()?);
    one.checked_add(other)?.try_into().ok()
}

/// Seconds with their fraction, for JSON.
pub(super) fn seconds(duration: prost_types::Duration) -> f64 {
    #[allow(
        clippy::cast_precision_loss,
        reason = "past 2^53 seconds nobody counts nanoseconds"
    )]
    let whole = duration.seconds as f64;
    whole + f64::from(duration.nanos) / 1e9
}

/// A point in time, in RFC 3339 and UTC. None where no calendar has it.
pub(super) fn timestamp(time: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A point in time to the second.
pub(super) fn moment(time: prost_types::Timestamp) -> Cow<'static, str> {
    timestamp(time)
        .and_then(|time| time.round(Unit::Second).ok())
        .map_or("unknown".into(), |time| time.to_string().into())
}

/// How far off a time is, in the largest unit: `in 3 days`, `2 hours ago`.
pub(super) fn distance(from: prost_types::Timestamp, to: prost_types::Timestamp) -> String {
    let seconds = to.seconds.saturating_sub(from.seconds);
    let (size, one, many) = match seconds.unsigned_abs() {
        0..120 => (1, "second", "seconds"),
        120..7_200 => (60, "minute", "minutes"),
        7_200..172_800 => (3_600, "hour", "hours"),
        _ => (86_400, "day", "days"),
    };
    let text = counted(seconds.saturating_abs() / size, one, many);
    if seconds < 0 {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(seconds: i64, nanos: i32) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos }
    }

    fn at(seconds: i64) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos: 0 }
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(-1_234_567), "-1,234,567");
        assert_eq!(count(i64::MIN), "-9,223,372,036,854,775,808");
        assert_eq!(counted(1, "row", "rows"), "1 row");
        assert_eq!(counted(0, "row", "rows"), "0 rows");
    }

    #[test]
    fn bytes_take_the_largest_unit() {
        assert_eq!(bytes(-1), "-1 B");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_024), "1.0 KiB");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(8_192), "8.0 KiB");
        assert_eq!(bytes(1_048_575), "1.0 MiB");
        assert_eq!(bytes(1_048_576), "1.0 MiB");
        assert_eq!(bytes(5_000_000_000), "4.7 GiB");
        assert_eq!(bytes(i64::MAX), "8.0 EiB");
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(lasting(0, 0)), "0.0 ms");
        assert_eq!(duration(lasting(0, 450_000)), "0.4 ms");
        assert_eq!(duration(lasting(0, 9_990_000)), "9.9 ms");
        assert_eq!(duration(lasting(0, 12_345_678)), "12 ms");
        assert_eq!(duration(lasting(1, 239_000_000)), "1.23 s");
        assert_eq!(duration(lasting(59, 999_999_999)), "59.99 s");
        assert_eq!(duration(lasting(125, 0)), "2 min 5 s");
        assert_eq!(duration(lasting(7_380, 0)), "2 h 3 min");
        assert!(duration(lasting(i64::MAX, 0)).ends_with(" min"));
    }

    #[test]
    fn durations_add_up() {
        let (one, other) = (lasting(1, 600_000_000), lasting(0, 500_000_000));
        assert_eq!(sum(Some(one), Some(other)), Some(lasting(2, 100_000_000)));
        assert_eq!(sum(Some(one), None), None);
        assert_eq!(sum(Some(one), Some(lasting(-1, 0))), None);
        assert_eq!(sum(Some(one), Some(lasting(i64::MAX, 0))), None);
    }

    #[test]
    fn seconds_keep_their_fraction() {
        assert!((seconds(lasting(1, 500_000_000)) - 1.5).abs() < 1e-12);
        assert!((seconds(lasting(0, 1)) - 1e-9).abs() < 1e-18);
    }

    #[test]
    fn times_are_rfc_3339() {
        let time = prost_types::Timestamp {
            seconds: 1_763_672_826,
            nanos: 120_000_000,
        };
        assert_eq!(
            timestamp(time).map(|time| time.to_string()).as_deref(),
            Some("2025-11-20T21:07:06.12Z")
        );
        assert_eq!(moment(time), "2025-11-20T21:07:06Z");
        assert_eq!(moment(at(i64::MAX)), "unknown");
    }

    #[test]
    fn distances_point_to_the_future_or_the_past() {
        assert_eq!(distance(at(0), at(1)), "in 1 second");
        assert_eq!(distance(at(0), at(600)), "in 10 minutes");
        assert_eq!(distance(at(0), at(864_000)), "in 10 days");
        assert_eq!(distance(at(10_800), at(0)), "3 hours ago");
        assert_eq!(
            distance(at(i64::MIN), at(i64::MAX)).split(' ').next(),
            Some("in")
        );
    }
}
