//! Buckets, the window and the labels.

use std::time::Duration;

use lifeboat_core::objective::outage;

use super::sample::{at, sample, write};
use crate::{
    client::{SUSTAINED, samples},
    report::{
        labels::{Label, Placed, place_labels},
        layout::{BUCKET, Scale, Window, buckets},
        seconds_between, text,
    },
};

#[test]
fn the_sample_has_the_outage_that_its_report_states() {
    let evidence = sample();
    let found = outage(&samples(&evidence.writes), SUSTAINED).unwrap();
    assert_eq!(found.from, at(50));
    assert_eq!(Some(found.until), evidence.report.served_at);
    let rto = seconds_between(found.from, found.until);
    assert!((rto - evidence.report.achieved_rto_seconds.unwrap()).abs() < 1e-9, "{rto}");
}

#[test]
fn writes_are_counted_in_the_piece_in_which_they_were_sent() {
    let writes = [
        write(0, -1, None),
        write(1, 0, None),
        write(2, 249, Some("refused")),
        write(3, 250, None),
        write(4, 999, Some("refused")),
        write(5, 1001, None),
    ];
    let found = buckets(&writes, at(0), at(1000));
    let counts: Vec<(u32, u32)> =
        found.iter().map(|bucket| (bucket.sent, bucket.acknowledged)).collect();
    assert_eq!(counts, [(2, 1), (1, 1), (0, 0), (1, 0), (0, 0)]);
    assert_eq!(found[1].from, at(0).checked_add(BUCKET).unwrap());
}

#[test]
fn pieces_are_bounded_and_an_empty_time_has_one() {
    assert_eq!(buckets(&[], at(0), at(0)).len(), 1);
    assert_eq!(buckets(&[], at(0), at(-10)).len(), 1);
    let day = at(0).checked_add(Duration::from_secs(86_400)).unwrap();
    assert_eq!(buckets(&[], at(0), day).len(), 4_000);
}

#[test]
fn the_window_holds_the_disaster_and_the_return_and_not_much_more() {
    let mut evidence = sample();
    // A clean-up that takes minutes must not squeeze the recovery.
    evidence.report.steps[11].ended_at = Some(at(500_000));
    let window = Window::of(&evidence);
    assert!(window.contains(at(0)) && window.contains(at(31_059)));
    assert!(window.seconds() < 60.0, "{}", window.seconds());
    let scale = Scale { window, width: 900.0 };
    assert!(scale.x(at(-100_000)).abs() < 1e-9);
    assert!((scale.x(at(900_000)) - 900.0).abs() < 1e-9);
    let ticks = scale.ticks(at(0), 58.0);
    assert!(ticks.iter().any(|(seconds, x)| *seconds == 0.0 && (x - scale.x(at(0))).abs() < 0.01));
    assert!(ticks.windows(2).all(|pair| pair[1].1 - pair[0].1 >= 58.0));
}

fn texts(labels: &[Label], placed: &[Placed]) -> Vec<(f64, f64, u32)> {
    labels.iter().zip(placed).map(|(label, at)| (at.left, at.left + label.width, at.row)).collect()
}

/// How many pairs of texts overlap, and how many lines cross another label's text.
fn faults(labels: &[Label], placed: &[Placed]) -> (usize, usize) {
    let texts = texts(labels, placed);
    let (mut overlaps, mut crossings) = (0, 0);
    for (one, a) in texts.iter().enumerate() {
        for (other, b) in texts.iter().enumerate() {
            if one < other && a.2 == b.2 && a.0 < b.1 && b.0 < a.1 {
                overlaps += 1;
            }
            let x = labels[other].x;
            if one != other && a.2 >= b.2 && a.0 < x && x < a.1 {
                crossings += 1;
            }
        }
    }
    (overlaps, crossings)
}

#[test]
fn labels_of_a_drill_do_not_overlap_at_any_width() {
    let said = [
        "struck",
        "detected +16.4 s",
        "recovery started +16.6 s",
        "DNS moved +27.2 s",
        "served again +31.2 s",
    ];
    for width in [940.0, 600.0, 316.0] {
        let scale = Scale { window: Window::of(&sample()), width };
        let times = [0, 16_412, 16_640, 27_180, 31_059];
        let labels: Vec<Label> = times
            .iter()
            .zip(said)
            .map(|(ms, said)| Label {
                x: scale.x(at(*ms)),
                width: text::bold_width(said, 12.0) + 10.0,
            })
            .collect();
        let placed = place_labels(&labels, width);
        let (overlaps, crossings) = faults(&labels, &placed);
        assert_eq!(overlaps, 0, "{width}: {placed:?}");
        if width > 500.0 {
            assert_eq!(crossings, 0, "{width}: {placed:?}");
        }
        assert!(
            texts(&labels, &placed).iter().all(|(left, right, _)| *left >= 0.0 && *right <= width)
        );
    }
}

#[test]
fn labels_anywhere_do_not_overlap() {
    // A small generator with a fixed start: the same 2000 cases in every run.
    let mut state: u64 = 7;
    let mut next = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from((state >> 33) % below).unwrap())
    };
    for case in 0..2000 {
        let count = case % 7 + 1;
        let mut labels: Vec<Label> =
            (0..count).map(|_| Label { x: next(900), width: 20.0 + next(180) }).collect();
        labels.sort_by(|a, b| a.x.total_cmp(&b.x));
        let placed = place_labels(&labels, 900.0);
        assert_eq!(placed.len(), labels.len());
        assert_eq!(faults(&labels, &placed).0, 0, "{labels:?} {placed:?}");
    }
}

#[test]
fn labels_with_room_share_the_first_row() {
    let labels = [Label { x: 0.0, width: 50.0 }, Label { x: 100.0, width: 50.0 }];
    assert!(place_labels(&labels, 400.0).iter().all(|at| at.row == 0));
    assert!(place_labels(&[], 400.0).is_empty());
}
