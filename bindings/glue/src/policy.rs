//! Policies by their names.

use tendmap::route::Policy;

use crate::kind::{Failure, Kind};

/// Every policy by its name in all languages.
pub const POLICIES: [(&str, Policy); 5] = [
    ("master", Policy::Master),
    ("sequence", Policy::Sequence),
    ("any", Policy::Any),
    ("random", Policy::Random),
    ("prefer_rack", Policy::PreferRack),
];

/// The policy of that name.
///
/// # Errors
/// [`Kind::Argument`].
#[inline]
pub fn policy(name: &str) -> Result<Policy, Failure> {
    match POLICIES.iter().find(|(known, _)| *known == name) {
        Some((_, policy)) => Ok(*policy),
        None => Err(unknown(name)),
    }
}

#[cold]
fn unknown(name: &str) -> Failure {
    let [others @ .., last] = POLICIES.map(|(known, _)| format!("{known:?}"));
    let others = others.join(", ");
    Failure::new(Kind::Argument, format!("policy is {name:?}; wanted {others} or {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_found_by_its_name_and_no_other() {
        for (name, known) in POLICIES {
            assert_eq!(policy(name).unwrap(), known);
        }
        let failure = policy("Master").unwrap_err();
        assert_eq!(failure.kind, Kind::Argument);
        let wanted =
            r#"policy is "Master"; wanted "master", "sequence", "any", "random" or "prefer_rack""#;
        assert_eq!(failure.text, wanted);
    }
}
