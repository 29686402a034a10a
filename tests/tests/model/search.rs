//! The search: every order up to a depth, and long walks at random.

use std::collections::{HashMap, VecDeque};

use super::world::{Rules, Step, World};

/// What a search came to.
pub(crate) struct Found {
    /// States that were looked at.
    pub(crate) states: usize,
    /// Steps up to which every order was looked at.
    pub(crate) depth: usize,
    /// How the first broken state comes about; none when there is none.
    pub(crate) broken: Option<Vec<String>>,
}

/// Every state that can be reached, the nearest first, up to so many.
pub(crate) fn explore(begins: Vec<World>, rules: Rules, limit: usize) -> Found {
    let mut places: HashMap<World, (usize, Option<Step>)> = HashMap::new();
    let mut queue: VecDeque<(usize, usize)> = (0..begins.len()).map(|place| (place, 0)).collect();
    places.extend(begins.iter().map(|begin| (begin.clone(), (0, None))));
    let mut states = begins;
    let mut depth = 0;
    while let Some((place, at)) = queue.pop_front() {
        depth = at;
        let state = states[place].clone();
        for step in state.steps(rules) {
            let Some(next) = state.after(step, rules) else { continue };
            if places.contains_key(&next) {
                continue;
            }
            let broken = next.broken();
            places.insert(next.clone(), (place, Some(step)));
            states.push(next.clone());
            if let Some(what) = broken {
                let trace = trace(&places, &states, next, what);
                return Found { states: states.len(), depth, broken: Some(trace) };
            }
            queue.push_back((states.len() - 1, at + 1));
        }
        if states.len() >= limit {
            break;
        }
    }
    Found { states: states.len(), depth, broken: None }
}

fn trace(
    places: &HashMap<World, (usize, Option<Step>)>,
    states: &[World],
    last: World,
    what: String,
) -> Vec<String> {
    let mut lines = vec![what];
    let mut state = last;
    while let Some((before, Some(step))) = places.get(&state) {
        lines.push(format!("{step:?}"));
        state = states[*before].clone();
    }
    lines.reverse();
    lines
}

/// How many more times a usual step is taken than a rare one.
const USUAL: usize = 12;

/// After how many steps of a walk it is looked at whether somebody can be served from there.
const STUCK_EACH: usize = 10;

/// One walk at random: where it ends, and how it breaks, if it does.
pub(crate) fn walk(
    begins: &[World],
    rules: Rules,
    seed: u64,
    length: usize,
) -> (World, Option<Vec<String>>) {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let mut state = begins[random.below(begins.len())].clone();
    let mut lines = Vec::new();
    for taken in 0..length {
        let mut steps = state.steps(rules);
        // Most walks would only wait, or give up, and never come as far as a promotion.
        let usual: Vec<Step> = steps.iter().copied().filter(|step| !step.is_rare()).collect();
        for _ in 0..USUAL {
            steps.extend(&usual);
        }
        let next = loop {
            if steps.is_empty() {
                return (state, None);
            }
            let step = steps.swap_remove(random.below(steps.len()));
            if let Some(next) = state.after(step, rules) {
                lines.push(format!("{step:?}"));
                break next;
            }
        };
        let ends = taken + 1 == length;
        let stuck = (ends || taken % STUCK_EACH == 0).then(|| next.stuck(rules)).flatten();
        if let Some(what) = next.broken().or(stuck) {
            lines.push(what);
            return (next, Some(lines));
        }
        state = next;
    }
    (state, None)
}

/// `SplitMix64`: the same walk for the same seed, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        usize::try_from(z % u64::try_from(limit).unwrap()).unwrap()
    }
}
