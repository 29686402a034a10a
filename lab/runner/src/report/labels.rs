//! Labels above the timeline: each has a line that goes down from it, and a text beside the line.

/// At most so many arrangements are looked at: ten labels with two sides each.
const MOST_ARRANGEMENTS: usize = 1 << 10;

/// A label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Label {
    /// Where its line is.
    pub(super) x: f64,
    /// How wide its text is, with the room around it.
    pub(super) width: f64,
}

/// Where a label's text goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    /// The left end of the text.
    pub(super) left: f64,
    /// The row, from 0 at the top. Its line begins there.
    pub(super) row: u32,
}

/// Places for labels within `0..=total`, in as few rows as can be: each text right or left of its
/// line (over it only where neither side has the room), no two texts overlapping, and no line
/// crossing another label's text. Where that cannot be had, texts still do not overlap.
pub(super) fn place_labels(labels: &[Label], total: f64) -> Vec<Placed> {
    let choices: Vec<Vec<f64>> = labels.iter().map(|label| sides(*label, total)).collect();
    let arrangements = choices.iter().map(Vec::len).product::<usize>().min(MOST_ARRANGEMENTS);
    (0..arrangements)
        .filter_map(|mut arrangement| {
            let lefts: Vec<f64> = choices
                .iter()
                .filter_map(|sides| {
                    let side = arrangement % sides.len().max(1);
                    arrangement /= sides.len().max(1);
                    sides.get(side).copied()
                })
                .collect();
            rows(labels, &lefts)
        })
        .min_by_key(|placed| placed.iter().map(|at| at.row).max())
        .unwrap_or_else(|| stacked(&choices))
}

/// Where a text can begin: right of its line, left of it, or else where it is within the drawing.
fn sides(label: Label, total: f64) -> Vec<f64> {
    let beside = [label.x, label.x - label.width];
    let mut sides: Vec<f64> =
        beside.into_iter().filter(|left| *left >= 0.0 && left + label.width <= total).collect();
    if sides.is_empty() {
        sides.push(label.x.min(total - label.width).max(0.0));
    }
    sides
}

/// The rows for texts at these places; none when two texts would each have to be above the other.
fn rows(labels: &[Label], lefts: &[f64]) -> Option<Vec<Placed>> {
    let texts: Vec<(f64, f64)> =
        lefts.iter().zip(labels).map(|(left, label)| (*left, left + label.width)).collect();
    let mut placed: Vec<Option<Placed>> = vec![None; labels.len()];
    for _ in labels {
        // The next one is a label whose line crosses no text that has no place yet.
        let (next, (label, text)) =
            labels.iter().zip(&texts).enumerate().find(|(own, (label, _))| {
                let is_free = texts.iter().zip(&placed).enumerate().all(|(other, (text, at))| {
                    other == *own || at.is_some() || !crosses(label.x, *text)
                });
                is_free && placed.get(*own).is_some_and(Option::is_none)
            })?;
        let row = texts
            .iter()
            .zip(&placed)
            .filter(|(other, _)| crosses(label.x, **other) || meet(**other, *text))
            .filter_map(|(_, at)| at.map(|at| at.row + 1))
            .max()
            .unwrap_or(0);
        *placed.get_mut(next)? = Some(Placed { left: text.0, row });
    }
    placed.into_iter().collect()
}

fn crosses(x: f64, text: (f64, f64)) -> bool {
    text.0 < x && x < text.1
}

fn meet(one: (f64, f64), other: (f64, f64)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// A row each.
fn stacked(choices: &[Vec<f64>]) -> Vec<Placed> {
    let first = choices.iter().filter_map(|sides| sides.first().copied());
    first.zip(0..).map(|(left, row)| Placed { left, row }).collect()
}
