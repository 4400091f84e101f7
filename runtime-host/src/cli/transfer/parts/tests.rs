//! That parts are whole, small enough, and keep the lines of the file.

use futures::executor::block_on;
use proptest::prelude::*;

use super::*;

fn parts(text: &str, records: Records, bytes_max: usize) -> Result<Vec<(String, u64)>, String> {
    let mut parts = Parts::new(text.as_bytes(), records, bytes_max);
    let mut found = Vec::new();
    while let Some(part) = block_on(parts.next()).map_err(|error| error.to_string())? {
        found.push((String::from_utf8(part.bytes).unwrap(), part.lines_before));
    }
    Ok(found)
}

fn part(text: &str, lines_before: u64) -> (String, u64) {
    (text.to_owned(), lines_before)
}

#[test]
fn lines_stay_whole() {
    let cut = |text| parts(text, Records::Lines, 8);
    assert_eq!(cut("").unwrap(), [part("", 0)]);
    assert_eq!(cut("{1}").unwrap(), [part("{1}", 0)]);
    assert_eq!(cut("{1}\n{2}\n").unwrap(), [part("{1}\n{2}\n", 0)]);
    assert_eq!(cut("{1}\n\"\n{2}\n{3}").unwrap(), [part("{1}\n\"\n", 0), part("{2}\n{3}", 2)]);
    assert_eq!(
        cut("{1}\n{too long}\n").unwrap_err(),
        "the record on line 2 has more than 8 bytes, or a quote that is never closed"
    );
}

#[test]
fn csv_repeats_its_header_and_minds_its_quotes() {
    let cut = |text| parts(text, Records::Csv, 16);
    assert_eq!(cut("a,b\n1,2\n").unwrap(), [part("a,b\n1,2\n", 0)]);
    assert_eq!(
        cut("\n\na,b\n1,2\n\"x\n\",\"\n\"\n3,4\n").unwrap(),
        [part("\n\na,b\n1,2\n", 0), part("\n\na,b\n\"x\n\",\"\n\"\n", 1), part("\n\na,b\n3,4\n", 4)]
    );
    // A quote within a bare cell opens nothing, and two within quotes close nothing.
    assert_eq!(cut("a\n5\" pipe\n6\" pipe\n").unwrap(), [part("a\n5\" pipe\n", 0), part("a\n6\" pipe\n", 1)]);
    assert_eq!(cut("a\n12345678\n\"\"\"\n\"\n").unwrap(), [part("a\n12345678\n", 0), part("a\n\"\"\"\n\"\n", 1)]);
    assert_eq!(
        cut("a\n1\n\"23456789012345678\n").unwrap_err(),
        "the record on line 3 has more than 14 bytes, or a quote that is never closed"
    );
}

#[test]
fn what_is_sent_again_is_counted() {
    let mut parts = Parts::new("a,b\n1,2\n3,4\n5,6\n".as_bytes(), Records::Csv, 8);
    let repeated = std::iter::from_fn(|| Some(block_on(parts.next()).unwrap()?.repeated_bytes));
    assert_eq!(repeated.collect::<Vec<_>>(), [0, 4, 4]);
}

proptest! {
    #[test]
    fn no_record_is_lost_torn_or_given_another_line(
        rows in proptest::collection::vec(
            prop_oneof!["[a-z]{0,6}", "[a-z]\"[a-z]", "\"[a-z\n,]{0,6}(\"\"[a-z\n])?\"", "[a-z]\r"],
            0..40,
        ),
        bytes_max in 32usize..80,
    ) {
        let header = "\"na\nme\"\n";
        let text = format!("{header}{}", rows.iter().map(|row| format!("{row}\n")).collect::<String>());
        let lines: Vec<&str> = text.lines().collect();
        let mut record_ends = vec![header.len()];
        for row in &rows {
            record_ends.push(record_ends.last().unwrap() + row.len() + 1);
        }
        let mut read = String::new();
        for (index, (part, lines_before)) in parts(&text, Records::Csv, bytes_max).unwrap().iter().enumerate() {
            prop_assert!(part.len() <= bytes_max);
            let repeated = if index == 0 { "" } else { header };
            read += part.strip_prefix(repeated).unwrap();
            prop_assert!(record_ends.contains(&read.len()), "{} of {:?}", read.len(), text);
            for (line, words) in part.lines().enumerate().skip(repeated.lines().count()) {
                prop_assert_eq!(lines[line + *lines_before as usize], words);
            }
        }
        prop_assert_eq!(read, text);
    }
}
