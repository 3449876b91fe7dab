//! The namespaces that are served: each a store, by a name and an identifier.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use kv_api::Store;
use kv_layers::Traced;
use sha2::{Digest, Sha256};

use crate::record::Counts;

/// The longest name, so that it fits where clients put an identifier.
const NAME_BYTES_MAX: usize = 64;

/// A store that is served under a name.
///
/// ```
/// use kv_gateway::Namespace;
/// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
/// let namespace = Namespace::new("sessions", store.clone(), "memory:")?;
/// assert_eq!(namespace.id(), "1225ae6c1ae69dcb4ee4781b703e1220");
/// assert!(Namespace::new("no/slash", store, "memory:").is_err());
/// # Ok::<(), kv_gateway::NamespaceError>(())
/// ```
#[derive(Debug)]
pub struct Namespace {
    name: String,
    id: String,
    store: Store,
    shown: String,
    is_read_only: bool,
    pub(crate) counts: Counts,
}

impl Namespace {
    /// A store under a name of 1 to 64 ASCII letters, digits, `-`, `_` or `.`. `shown` is what the status page shows of
    /// where the data lies: a URL without its secrets.
    ///
    /// The store gets the layer [`Traced`] with the name, so that spans and metrics carry it.
    ///
    /// # Errors
    /// When the name is not of that form.
    pub fn new(name: &str, store: Store, shown: impl Into<String>) -> Result<Self, NamespaceError> {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_name =
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_of_name) && !matches!(name, "." | "..");
        if !is_name {
            return Err(NamespaceError(format!(
                "the name of a namespace is not 1 to {NAME_BYTES_MAX} ASCII letters, digits, -, _ or ."
            )));
        }
        let store = store.layer(&Traced::new().with_namespace(name));
        Ok(Self {
            name: name.to_owned(),
            id: id_of(name),
            store,
            shown: shown.into(),
            is_read_only: false,
            counts: Counts::default(),
        })
    }

    /// Refuses whatever would change the store, with 403.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }

    /// Its name, which is its title in the dialect.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identifier: the same for the same name, on every machine and in every release. 32 hex digits, half of the
    /// SHA-256 of the name; a name of 32 lower-case hex digits is its own identifier, so that one that stands in the
    /// configuration of a client can be kept.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.is_read_only
    }
}

fn id_of(name: &str) -> String {
    let is_id = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    if name.len() == 32 && name.bytes().all(is_id) {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    digest[..16].iter().fold(String::with_capacity(32), |mut id, byte| {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// Why namespaces cannot be served. Its text shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceError(pub(crate) String);

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NamespaceError {}

/// All of them, found by name or identifier.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// In the order of their names.
    all: Vec<Arc<Namespace>>,
    places: HashMap<String, usize>,
}

impl Namespaces {
    pub(crate) fn new(namespaces: impl IntoIterator<Item = Namespace>) -> Result<Self, NamespaceError> {
        let mut all: Vec<_> = namespaces.into_iter().map(Arc::new).collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        let mut places = HashMap::new();
        for (place, namespace) in all.iter().enumerate() {
            for name in [&namespace.name, &namespace.id] {
                if places.insert(name.clone(), place).is_some_and(|other| other != place) {
                    return Err(NamespaceError(format!("two namespaces have the name or identifier {name}")));
                }
            }
        }
        if all.is_empty() {
            return Err(NamespaceError("there is no namespace to serve".to_owned()));
        }
        Ok(Self { all, places })
    }

    pub(crate) fn all(&self) -> &[Arc<Namespace>] {
        &self.all
    }

    pub(crate) fn find(&self, name_or_id: &str) -> Option<&Arc<Namespace>> {
        self.places.get(name_or_id).and_then(|place| self.all.get(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_memory::MemoryStore;

    fn named(name: &str) -> Result<Namespace, NamespaceError> {
        Namespace::new(name, Store::new(MemoryStore::default()), "memory:")
    }

    #[test]
    fn an_identifier_is_stable_and_of_the_vendors_form() {
        // A change here breaks the configuration of clients.
        assert_eq!(named("a").unwrap().id(), "ca978112ca1bbdcafac231b39a23dc4d");
        assert_eq!(named("0f2ac74b498b48028cb68387c421e279").unwrap().id(), "0f2ac74b498b48028cb68387c421e279");
        assert_ne!(named("0F2AC74B498B48028CB68387C421E279").unwrap().id(), "0F2AC74B498B48028CB68387C421E279");
    }

    #[test]
    fn a_name_cannot_change_the_path_that_it_stands_in() {
        let long = "n".repeat(65);
        for name in ["", ".", "..", "a/b", "a b", "a%2Fb", "é", "a?b", long.as_str()] {
            assert!(named(name).is_err(), "{name:?}");
        }
        assert!(named(&long[1..]).is_ok() && named("v1.2_x-y").is_ok());
    }

    #[test]
    fn two_namespaces_are_never_taken_for_one() {
        let of = |names: &[&str]| Namespaces::new(names.iter().map(|name| named(name).unwrap()));
        assert!(of(&[]).is_err() && of(&["a", "a"]).is_err());
        assert!(of(&["a", "ca978112ca1bbdcafac231b39a23dc4d"]).is_err());
        let both = of(&["b", "a"]).unwrap();
        assert_eq!(both.find("ca978112ca1bbdcafac231b39a23dc4d").unwrap().name(), "a");
        assert_eq!(both.find("b").unwrap().name(), "b");
        assert!(both.find("c").is_none() && both.find("").is_none());
        assert_eq!(both.all().iter().map(|one| one.name()).collect::<Vec<_>>(), ["a", "b"]);
    }
}
