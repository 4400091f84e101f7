//! Numbers for people.

/// `7,400`.
pub(super) fn amount(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `5.2 %`; `0.07 %`.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent == 0.0 || percent >= 0.1 { format!("{percent:.1} %") } else { format!("{percent:.3} %") }
}

/// `250 us`, `12.5 ms`, `1.20 s`.
pub(super) fn duration_us(us: f64) -> String {
    match us {
        ..1e3 => format!("{us:.0} us"),
        1e3..1e6 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

/// `512 bytes`, `64.0 KiB`, `12.5 MiB`.
pub(super) fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    const MIB: f64 = 1024.0 * KIB;
    match bytes {
        ..KIB => format!("{bytes:.0} bytes"),
        KIB..MIB => format!("{:.1} KiB", bytes / KIB),
        _ => format!("{:.1} MiB", bytes / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let amounts = [0, 999, 1_000, 7_400, 1_234_567].map(amount);
        assert_eq!(amounts, ["0", "999", "1,000", "7,400", "1,234,567"]);
        assert_eq!([0.0, 0.052, 0.001, 0.000_7, 1.0].map(percent), ["0.0 %", "5.2 %", "0.1 %", "0.070 %", "100.0 %"]);
        assert_eq!([250.0, 12_500.0, 1_200_000.0].map(duration_us), ["250 us", "12.5 ms", "1.20 s"]);
        assert_eq!([512.0, 65_536.0, 13_107_200.0].map(bytes), ["512 bytes", "64.0 KiB", "12.5 MiB"]);
    }
}
