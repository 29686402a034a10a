use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + second).unwrap()
}

fn failure(host: &str, status: &str, exit_code: Option<i32>) -> HostFailure {
    let last_line = String::new();
    HostFailure { host: host.to_owned(), status: status.to_owned(), exit_code, last_line }
}

/// Hosts `i-0`, `i-1`, ... by one letter each: d done, w working, s silent, f failed, t never
/// delivered, o knows a newer epoch.
fn answers(age: i64, ended: bool, letters: &str) -> Answers {
    let hosts: BTreeMap<String, Answer> = letters
        .chars()
        .enumerate()
        .map(|(place, letter)| {
            let host = format!("i-{place}");
            let answer = match letter {
                'd' => Answer::Done,
                'w' => Answer::Working,
                's' => Answer::Silent,
                'f' => Answer::NotDone(failure(&host, "Failed", Some(4))),
                't' => Answer::NotDone(failure(&host, "DeliveryTimedOut", None)),
                'o' => Answer::NotDone(failure(&host, "Failed", Some(3))),
                other => panic!("{other}"),
            };
            (host, answer)
        })
        .collect();
    let targets = u32::try_from(hosts.len()).unwrap();
    Answers { sent_at: at(0), asked_at: at(age), targets, ended, hosts }
}

fn word(activation: &Activation) -> &'static str {
    match activation {
        Activation::NotYet => "not yet",
        Activation::Done { .. } => "done",
        Activation::NoHosts => "no hosts",
        Activation::NotEnough { .. } => "not enough",
        Activation::Stale(_) => "stale",
    }
}

#[test]
fn a_site_is_active_with_enough_hosts_whatever_the_others_do() {
    for (letters, enough, age, ended, wanted) in [
        // One that is off blocks nobody, and is not waited for.
        ("d", None, 1, true, "done"),
        ("ds", None, 1, false, "done"),
        ("dt", None, 90, true, "done"),
        ("dds", None, 1, false, "done"),
        ("ddst", None, 1, false, "done"),
        ("ddff", None, 1, true, "done"),
        // One that works is waited for, for a while.
        ("dw", None, 1, false, "not yet"),
        ("dw", None, 5, false, "done"),
        // One of ten is no site.
        ("dsssssssss", None, 60, false, "not yet"),
        ("dttttttttt", None, 90, true, "not enough"),
        ("dddddttttt", None, 90, true, "done"),
        // The plan's own number.
        ("dttttttttt", Some(1), 90, true, "done"),
        ("dds", Some(3), 1, false, "not yet"),
        ("ddt", Some(3), 90, true, "not enough"),
        ("dd", Some(3), 1, true, "not enough"),
        // Nobody did.
        ("s", None, 60, false, "not yet"),
        ("f", None, 1, true, "not enough"),
        ("ff", None, 6, false, "not enough"),
        ("t", None, 90, true, "not enough"),
        ("", None, 0, false, "not yet"),
        ("", None, 0, true, "no hosts"),
        // Someone newer acts, even if only one host has heard of it.
        ("ddo", None, 1, true, "stale"),
    ] {
        let judged = activation(&answers(age, ended, letters), enough);
        assert_eq!(word(&judged), wanted, "{letters} {enough:?} after {age} s: {judged:?}");
    }
}

#[test]
fn hosts_that_are_not_listed_yet_are_waited_for_until_the_command_has_ended() {
    let some = Answers { targets: 4, ..answers(1, false, "d") };
    assert_eq!(activation(&some, None), Activation::NotYet);
    let ended = activation(&Answers { ended: true, ..some }, None);
    let Activation::NotEnough { enough, without } = ended else { panic!("{ended:?}") };
    assert_eq!((enough, without.done, without.unlisted), (2, 1, 3));
    assert!(without.to_string().contains("3 more"), "{without}");
}

#[test]
fn what_is_missing_is_said_by_name() {
    let judged = activation(&answers(6, false, "ddwsft"), None);
    let Activation::NotYet = judged else { panic!("3 of 6 are enough, 2 did it: {judged:?}") };
    let judged = activation(&answers(6, false, "dddwsft"), Some(3));
    let Activation::Done { hosts: 3, without } = judged else { panic!("{judged:?}") };
    assert_eq!(
        without.lines(),
        [
            "host i-5: Failed, exit code 4",
            "host i-6: DeliveryTimedOut",
            "host i-3: is still at it",
            "host i-4: has not taken the order",
        ]
    );
    let many = activation(&answers(90, true, "fffffff"), None);
    let Activation::NotEnough { without, .. } = many else { panic!("{many:?}") };
    assert_eq!(without.lines().last().unwrap(), "hosts i-5, i-6: failed too");
}

#[test]
fn a_site_is_fenced_when_every_host_has_confirmed_it() {
    assert_eq!(fencing(&answers(1, true, "ddd")), Fencing::Done { hosts: 3 });
    assert_eq!(fencing(&answers(1, false, "dds")), Fencing::NotYet);
    assert_eq!(fencing(&answers(1, false, "ddw")), Fencing::NotYet);
    assert_eq!(fencing(&answers(0, false, "")), Fencing::NotYet);
    assert_eq!(fencing(&answers(1, true, "")), Fencing::NoHosts);
    assert!(matches!(fencing(&answers(1, false, "ddo")), Fencing::Stale(_)));
    // A command that ended "Incomplete" has not fenced the site.
    for (letters, age, ended, says) in [
        ("ddf", 1, true, "host i-2: Failed, exit code 4"),
        ("ddt", 90, true, "host i-2: DeliveryTimedOut"),
        ("dds", 4, false, "host i-2: has not taken the order"),
        ("ddw", 4, false, "host i-2: is still at it"),
    ] {
        let judged = fencing(&answers(age, ended, letters));
        let Fencing::Unconfirmed(without) = judged else { panic!("{letters}: {judged:?}") };
        assert_eq!(without.to_string(), format!("2 of 3 hosts did it; {says}"));
    }
    let unlisted = Answers { targets: 4, ..answers(4, false, "ddd") };
    assert!(matches!(fencing(&unlisted), Fencing::Unconfirmed(_)));
}

#[test]
fn an_order_that_was_sent_twice_is_done_by_a_host_that_did_either() {
    let both = answers(9, true, "dft").and(answers(9, false, "fds"));
    assert_eq!(both.done(), 2);
    assert_eq!(both.hosts["i-2"], Answer::Silent);
    assert!(!both.ended);
}

#[test]
fn two_clocks_that_differ_make_no_command_older_than_it_is() {
    assert_eq!(answers(-3, false, "d").age(), SignedDuration::ZERO);
}

proptest! {
    #[test]
    fn more_hosts_that_did_it_never_make_it_worse(letters in "[dwsft]{1,12}", age in 0i64..100) {
        let before = activation(&answers(age, false, &letters), None);
        for (place, _) in letters.match_indices(['w', 's', 'f', 't']) {
            let mut better = letters.clone();
            better.replace_range(place..=place, "d");
            let after = activation(&answers(age, false, &better), None);
            // One more that did it may leave others at work, which are waited for once enough did.
            if matches!(before, Activation::Done { .. }) && !letters.contains('w') {
                let still_done = matches!(after, Activation::Done { .. });
                prop_assert!(still_done, "{} {:?}", better, after);
            }
            let not_worse = !matches!(after, Activation::NotEnough { .. })
                || matches!(before, Activation::NotEnough { .. });
            prop_assert!(not_worse, "{} {:?}", better, after);
        }
    }

    #[test]
    fn a_site_is_never_called_fenced_while_a_host_may_write(letters in "[dwsft]{1,12}", age in 0i64..100) {
        let fenced = matches!(fencing(&answers(age, false, &letters)), Fencing::Done { .. });
        prop_assert_eq!(fenced, letters.chars().all(|letter| letter == 'd'));
    }

    #[test]
    fn whatever_has_ended_is_judged(letters in "[dwsftx]{0,12}") {
        let letters = letters.replace(['w', 's', 'x'], "t");
        let judged = activation(&answers(90, true, &letters), None);
        prop_assert!(!matches!(judged, Activation::NotYet));
        prop_assert!(!matches!(fencing(&answers(90, true, &letters)), Fencing::NotYet));
    }
}
