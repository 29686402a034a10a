//! Which record set of one name and type answers: Route 53's routing policies.
//!
//! Pure. The rules are those of
//! <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html>:
//! a set without a health check is healthy; when none is healthy, all count as healthy, and the
//! policy chooses as if nothing were wrong (for failover records: the primary answers).

use crate::model::{RecordSet, Routing};

/// The most sets that a multivalue answer carries:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-multivalue.html>.
const MULTIVALUE_LIMIT: usize = 8;

/// The sets of `group` (one name, one type) that may be answered now, in their order. For
/// weighted sets that is each one that a draw can hit; for every other policy it is the answer.
pub(crate) fn candidates<'a>(
    group: &[&'a RecordSet],
    is_healthy: impl Fn(&RecordSet) -> bool,
) -> Vec<&'a RecordSet> {
    let healthy: Vec<&RecordSet> = group.iter().copied().filter(|set| is_healthy(set)).collect();
    let open = if healthy.is_empty() { group.to_vec() } else { healthy };
    let Some(first) = group.first() else { return Vec::new() };
    match first.routing {
        Routing::Simple => group.to_vec(),
        Routing::Primary | Routing::Secondary => {
            let primary = open.iter().copied().find(|set| set.routing == Routing::Primary);
            primary.or(open.first().copied()).into_iter().collect()
        }
        // Weight 0 is considered only when no healthy set has a weight.
        Routing::Weighted(_) => {
            let weighty: Vec<&RecordSet> =
                open.iter().copied().filter(|set| weight(set) > 0).collect();
            if weighty.is_empty() { open } else { weighty }
        }
        Routing::Multivalue => open,
        Routing::ByOrigin => {
            open.into_iter().min_by_key(|set| set.set_identifier.clone()).into_iter().collect()
        }
    }
}

/// The answer among `candidates`, with `draw` (any number, evenly distributed) as the chance.
pub(crate) fn pick<'a>(candidates: &[&'a RecordSet], draw: u64) -> Vec<&'a RecordSet> {
    let Some(first) = candidates.first() else { return Vec::new() };
    match first.routing {
        Routing::Simple | Routing::Primary | Routing::Secondary | Routing::ByOrigin => {
            candidates.to_vec()
        }
        Routing::Weighted(_) => one_by_weight(candidates, draw).into_iter().collect(),
        Routing::Multivalue => {
            let mut turned = candidates.to_vec();
            let turn = usize::try_from(draw % turned.len().max(1) as u64).unwrap_or(0);
            turned.rotate_left(turn);
            turned.truncate(MULTIVALUE_LIMIT);
            turned
        }
    }
}

fn one_by_weight<'a>(candidates: &[&'a RecordSet], draw: u64) -> Option<&'a RecordSet> {
    // When all weights are 0, each is as likely as the others.
    let share = |set: &RecordSet, all_zero: bool| if all_zero { 1 } else { weight(set) };
    let all_zero = candidates.iter().all(|set| weight(set) == 0);
    let total: u64 = candidates.iter().map(|set| share(set, all_zero)).sum();
    let mut left = draw.checked_rem(total)?;
    for set in candidates {
        let share = share(set, all_zero);
        if left < share {
            return Some(set);
        }
        left -= share;
    }
    None
}

fn weight(set: &RecordSet) -> u64 {
    match set.routing {
        Routing::Weighted(weight) => weight,
        Routing::Simple
        | Routing::Primary
        | Routing::Secondary
        | Routing::Multivalue
        | Routing::ByOrigin => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Content;

    fn set(identifier: &str, routing: Routing) -> RecordSet {
        RecordSet {
            name: "queue.example.test".to_owned(),
            kind: "A".to_owned(),
            set_identifier: Some(identifier.to_owned()),
            routing,
            health_check: None,
            content: Content::Values { ttl: 10, values: vec![] },
        }
    }

    fn now(sets: &[RecordSet], unhealthy: &[&str]) -> String {
        let group: Vec<&RecordSet> = sets.iter().collect();
        let is_healthy = |set: &RecordSet| {
            !unhealthy.contains(&set.set_identifier.as_deref().unwrap_or_default())
        };
        let chosen = candidates(&group, is_healthy);
        chosen.iter().filter_map(|set| set.set_identifier.as_deref()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn failover_follows_the_primary() {
        let sets = [set("b", Routing::Secondary), set("a", Routing::Primary)];
        assert_eq!(now(&sets, &[]), "a");
        assert_eq!(now(&sets, &["b"]), "a");
        assert_eq!(now(&sets, &["a"]), "b");
        assert_eq!(now(&sets, &["a", "b"]), "a");
        assert_eq!(now(&sets[..1], &["b"]), "b"); // a secondary alone still answers
    }

    #[test]
    fn weight_zero_answers_only_when_nothing_else_is_healthy() {
        let sets = [
            set("a", Routing::Weighted(200)),
            set("b", Routing::Weighted(55)),
            set("c", Routing::Weighted(0)),
        ];
        assert_eq!(now(&sets, &[]), "a b");
        assert_eq!(now(&sets, &["a"]), "b");
        assert_eq!(now(&sets, &["a", "b"]), "c");
        assert_eq!(now(&sets, &["a", "b", "c"]), "a b");
    }

    #[test]
    fn weights_share_the_draws() {
        let sets = [set("a", Routing::Weighted(3)), set("b", Routing::Weighted(1))];
        let group: Vec<&RecordSet> = sets.iter().collect();
        let hits =
            (0..100).filter(|draw| pick(&group, *draw)[0].set_identifier == sets[0].set_identifier);
        assert_eq!(hits.count(), 75);
        let zero = [set("a", Routing::Weighted(0)), set("b", Routing::Weighted(0))];
        let group: Vec<&RecordSet> = zero.iter().collect();
        assert_ne!(pick(&group, 0), pick(&group, 1));
    }

    #[test]
    fn multivalue_answers_the_healthy_ones() {
        let sets: Vec<RecordSet> =
            (0..10).map(|n| set(&n.to_string(), Routing::Multivalue)).collect();
        assert_eq!(now(&sets[..3], &["1"]), "0 2");
        assert_eq!(now(&sets[..2], &["0", "1"]), "0 1");
        let group: Vec<&RecordSet> = sets.iter().collect();
        assert_eq!(pick(&group, 7).len(), MULTIVALUE_LIMIT);
    }
}
