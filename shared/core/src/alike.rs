//! Which name may be meant by one that is none.

/// The one of these names that another one is a typing error of, if any is: a third of its letters may
/// be wrong, and one of a short name.
pub fn alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(wrong, known)| *wrong <= (known.len() / 3).max(1))
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, known)| known)
}

/// What to do about a name that is none of these: the one that may be meant, or all of them.
pub fn instead<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match alike(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("use one of {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_letters_may_be_wrong_and_else_all_are_named() {
        let known = ["database-dump", "wal", "config"].into_iter();
        assert_eq!(alike("databse-dmup", known.clone()), Some("database-dump"));
        assert_eq!(alike("wla", known.clone()), Some("wal"));
        assert_eq!(alike("dump", known.clone()), None);
        assert_eq!(instead("confg", known.clone()), "did you mean `config`?");
        assert_eq!(instead("dump", known), "use one of database-dump, wal, config");
    }
}
