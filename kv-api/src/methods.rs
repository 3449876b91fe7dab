//! Which of its optional methods a backend implements.

use std::fmt;

/// A method of [`Backend`](crate::Backend) that a capability stands for and that has a default: "not implemented", or
/// one call for each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// [`Backend::read_many`](crate::Backend::read_many), in fewer requests than one a key.
    ReadMany,
    /// [`Backend::write_many`](crate::Backend::write_many), in fewer requests than one an item.
    WriteMany,
    /// [`Backend::write_all_or_nothing`](crate::Backend::write_all_or_nothing).
    WriteAllOrNothing,
    /// [`Backend::list`](crate::Backend::list).
    List,
    /// [`Backend::increment`](crate::Backend::increment).
    Increment,
    /// [`Backend::expire`](crate::Backend::expire).
    Expire,
    /// [`Backend::touch`](crate::Backend::touch).
    Touch,
    /// [`Backend::get_and_delete`](crate::Backend::get_and_delete).
    GetAndDelete,
}

impl Method {
    const ALL: [Self; 8] = [
        Self::ReadMany,
        Self::WriteMany,
        Self::WriteAllOrNothing,
        Self::List,
        Self::Increment,
        Self::Expire,
        Self::Touch,
        Self::GetAndDelete,
    ];
}

/// A set of [`Method`]s: what [`Backend::methods`](crate::Backend::methods) answers (LAYER-1).
///
/// ```
/// use kv_api::{Method, Methods};
/// const METHODS: Methods = Methods::NONE.with(Method::List).with(Method::Expire);
/// assert!(METHODS.contains(Method::List) && !METHODS.contains(Method::Increment));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Methods(u16);

impl Methods {
    /// No optional method.
    pub const NONE: Self = Self(0);

    /// The set with `method` in it.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | Self::bit(method))
    }

    /// Whether `method` is in the set.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 & Self::bit(method) != 0
    }

    /// The methods that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The methods that are in one set or the other.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn bit(method: Method) -> u16 {
        1 << method as u16
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Method::ALL.iter().filter(|method| self.contains(**method))).finish()
    }
}
