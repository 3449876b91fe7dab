//! Where the data of a stop lies, so that one place is recognised by another spelling, link or URL.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kv_api::StoreUrl;

use super::stop::{Opened, Stop};

/// A place in the file system.
#[derive(Debug, PartialEq)]
struct Place {
    file: FileIdentity,
    /// Of a SQLite store, since each is a store of its own.
    namespace: Option<String>,
}

#[derive(Debug, PartialEq)]
enum FileIdentity {
    #[cfg(unix)]
    Inode { device: u64, number: u64 },
    /// Of a file that is not there yet, or where the system has nothing better.
    Path(PathBuf),
}

/// Finds a file that is named twice, before anything is opened. What is not copied, such as by a prefix, would be lost
/// there, also with other stops in between. The first stop is read. `files` are those that options name.
pub(super) fn check_files(stops: &[Stop], files: &[(&str, &Path)]) -> Result<(), String> {
    let places = places(stops);
    for (at, place) in places.iter().enumerate() {
        let Some(place) = place else { continue };
        for (before, other) in places[..at].iter().enumerate() {
            let Some(other) = other else { continue };
            if place.is_that_of(other) {
                let what = if place.namespace.is_some() && other.namespace.is_some() { "store" } else { "file" };
                return Err(named_twice(what, (before, &stops[before]), (at, &stops[at])));
            }
        }
        for (option, path) in files {
            if FileIdentity::of(path).is_some_and(|file| file == place.file) {
                return Err(format!("{}: this stop and the file of {option} are the same file", stops[at].shown()));
            }
        }
    }
    for (at, (option, path)) in files.iter().enumerate() {
        for (before, other) in &files[..at] {
            if FileIdentity::of(path).is_some_and(|file| FileIdentity::of(other) == Some(file)) {
                return Err(format!("{before} and {option} name the same file"));
            }
        }
    }
    Ok(())
}

/// Whether both are the same file, or the same store in one.
pub(super) fn are_one_file(stops: &[Stop; 2]) -> bool {
    matches!(places(stops).as_slice(), [Some(one), Some(other)] if one.is_that_of(other))
}

fn places(stops: &[Stop]) -> Vec<Option<Place>> {
    let last = stops.len().saturating_sub(1);
    stops.iter().enumerate().map(|(position, stop)| place(stop, position == last)).collect()
}

/// Finds a store that is named twice. A SQLite file is recognised as a file: a copy of it has the same scope.
pub(super) fn check_stores<'a>(stops: &[Stop], opened: impl IntoIterator<Item = &'a Opened>) -> Result<(), String> {
    let stores = stops.iter().zip(opened).enumerate().filter_map(|(at, (stop, opened))| match opened {
        Opened::Store(store) if sqlite_url(stop).is_none() => Some((at, stop, store)),
        _ => None,
    });
    let stores: Vec<_> = stores.collect();
    for (index, (at, stop, store)) in stores.iter().enumerate() {
        for (before, other_stop, other) in &stores[..index] {
            if store.has_same_scope(other) {
                return Err(named_twice("store", (*before, other_stop), (*at, stop)));
            }
        }
    }
    Ok(())
}

fn named_twice(what: &str, (before, first): (usize, &Stop), (at, second): (usize, &Stop)) -> String {
    format!(
        "stops {} and {} are the same {what}: {} and {}; what is not copied, such as by --prefix, would be lost there",
        before + 1,
        at + 1,
        first.shown(),
        second.shown()
    )
}

fn place(stop: &Stop, is_last: bool) -> Option<Place> {
    match stop {
        Stop::File(path) => Some(Place { file: FileIdentity::of(path)?, namespace: None }),
        Stop::Store { .. } => {
            let mut url = sqlite_url(stop)?;
            let namespace = url.take_option("namespace");
            let namespace =
                namespace.unwrap_or_else(|| kv_backends::sqlite::SqliteConfig::DEFAULT_NAMESPACE.to_owned());
            // As kv-sqlite reads it: `//` stands before an absolute path.
            let path = url.rest().strip_prefix("//").unwrap_or(url.rest());
            Some(Place { file: FileIdentity::of(Path::new(path))?, namespace: Some(namespace) })
        }
        // `-` is the last stop or the first.
        Stop::Stdio => Some(Place { file: FileIdentity::of_stdio(is_last)?, namespace: None }),
    }
}

fn sqlite_url(stop: &Stop) -> Option<StoreUrl> {
    let Stop::Store { url, .. } = stop else { return None };
    url.parse().ok().filter(|url: &StoreUrl| url.scheme() == "sqlite")
}

impl Place {
    fn is_that_of(&self, other: &Self) -> bool {
        // Two namespaces of a SQLite file are two stores.
        let are_apart = matches!((&self.namespace, &other.namespace), (Some(one), Some(other)) if one != other);
        self.file == other.file && !are_apart
    }
}

impl FileIdentity {
    /// `None` for what holds nothing, such as a device or a pipe.
    fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(about) if !about.is_file() => None,
            #[cfg(unix)]
            Ok(about) => Some(Self::of_metadata(&about)),
            #[cfg(not(unix))]
            Ok(_) => fs::canonicalize(path).ok().map(Self::Path),
            Err(_) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Some(Self::Path(fs::canonicalize(parent).ok()?.join(path.file_name()?)))
            }
        }
    }

    #[cfg(unix)]
    fn of_metadata(about: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self::Inode { device: about.dev(), number: about.ino() }
    }

    /// Of the file that standard input or output was redirected to.
    #[cfg(unix)]
    fn of_stdio(output: bool) -> Option<Self> {
        use std::os::fd::AsFd;
        let descriptor = match output {
            true => io::stdout().as_fd().try_clone_to_owned(),
            false => io::stdin().as_fd().try_clone_to_owned(),
        };
        let about = File::from(descriptor.ok()?).metadata().ok()?;
        about.is_file().then(|| Self::of_metadata(&about))
    }

    #[cfg(not(unix))]
    const fn of_stdio(_output: bool) -> Option<Self> {
        None
    }
}
