//! Tags that show nothing: the version under a key, by deterministic authenticated encryption.
//!
//! AES-SIV ([RFC 5297]) is made for this. It is deterministic, so that every process with the key
//! writes the same tag; it is authenticated, so that nobody without the key can make one up; and it
//! can be read back, so that handlers compare versions. The resource is its associated data: equal
//! versions of two resources have unlike tags, and a tag of one resource names nothing of another.
//!
//! [RFC 5297]: https://www.rfc-editor.org/rfc/rfc5297

use std::fmt;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha512;

use super::TagStyle;
use crate::entity_tag::EntityTag;
use crate::key::ResourceKey;
use crate::store::Version;

/// Sets the keys of this use of a secret apart from those of any other.
const PURPOSE: &[u8] = b"tower-conditional opaque tags 1";

/// The shortest secret: as many bytes as a random key of 128 bits.
const SHORTEST: usize = 16;

/// A number that fits 8 bytes, and a variant behind it, are padded to one length...
const NUMBER_BLOCK: usize = 16;
/// ... and other versions to a multiple of this one: how long a tag is says nothing of how many
/// digits a version has.
const TEXT_BLOCK: usize = 32;

/// The first byte of what is encrypted.
const NUMBER: u8 = 1;
const TEXT: u8 = 2;

/// Opaque tags: 43 characters, of which no two have anything to do with each other.
///
/// No counter, time or number of writes can be read off them, or guessed from earlier ones.
/// Processes with the same secret write the same tags.
///
/// ```
/// use tower_conditional::ResourceKey;
/// use tower_conditional::store::Version;
/// use tower_conditional::tags::{MAIN, Opaque, TagStyle};
///
/// let tags = Opaque::new("correct horse battery staple")?;
/// let (one, other) = (ResourceKey::new("/accounts/1"), ResourceKey::new("/accounts/2"));
/// let tag = tags.encode(&one, &Version::from(5), MAIN);
/// assert_ne!(tag, tags.encode(&other, &Version::from(5), MAIN));
/// assert_eq!(tags.decode(&one, tag.opaque()), Some((Version::from(5), MAIN.to_owned())));
/// assert_eq!(tags.decode(&other, tag.opaque()), None);
/// # Ok::<(), tower_conditional::tags::WeakSecret>(())
/// ```
///
/// # A new secret
///
/// Tags are written under the first secret and read under all of them. To go over to a new one
/// while old tags are still about and old processes still run: first let every process
/// [also read](Self::also_reads) the new one, then let every process write it and also read the
/// old one, then drop the old one.
#[derive(Clone)]
pub struct Opaque {
    newest: Key,
    older: Vec<Key>,
}

#[derive(Clone)]
struct Key([u8; 64]);

impl Opaque {
    /// Tags under keys that are derived from `secret` (HKDF with SHA-512, [RFC 5869]): at least 16
    /// bytes, which nobody can guess. Clients hold tags, and may try secrets on them at leisure.
    ///
    /// # Errors
    ///
    /// If `secret` is shorter than 16 bytes.
    ///
    /// [RFC 5869]: https://www.rfc-editor.org/rfc/rfc5869
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, WeakSecret> {
        Ok(Self {
            newest: Key::derive(secret.as_ref())?,
            older: Vec::new(),
        })
    }

    /// Also reads tags that were written under `secret`; see [a new secret](Self#a-new-secret).
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn also_reads(mut self, secret: impl AsRef<[u8]>) -> Result<Self, WeakSecret> {
        self.older.push(Key::derive(secret.as_ref())?);
        Ok(self)
    }
}

impl TagStyle for Opaque {
    fn encode(&self, key: &ResourceKey, version: &Version, variant: &str) -> EntityTag {
        let sealed = self.newest.seal(key, &frame(version, variant));
        EntityTag::of_version(URL_SAFE_NO_PAD.encode(sealed).as_bytes(), false)
    }

    fn decode(&self, key: &ResourceKey, opaque: &[u8]) -> Option<(Version, String)> {
        let sealed = URL_SAFE_NO_PAD.decode(opaque).ok()?;
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        unframe(&keys.find_map(|own| own.open(key, &sealed))?)
    }
}

impl Key {
    fn derive(secret: &[u8]) -> Result<Self, WeakSecret> {
        if secret.len() < SHORTEST {
            return Err(WeakSecret(()));
        }
        let mut key = [0; 64];
        Hkdf::<Sha512>::new(None, secret)
            .expand(PURPOSE, &mut key)
            .expect("64 bytes are one block of SHA-512");
        Ok(Self(key))
    }

    fn seal(&self, key: &ResourceKey, plain: &[u8]) -> Vec<u8> {
        Aes256Siv::new(&self.0.into())
            .encrypt([key.as_str()], plain)
            .expect("one item of associated data is not too many")
    }

    fn open(&self, key: &ResourceKey, sealed: &[u8]) -> Option<Vec<u8>> {
        Aes256Siv::new(&self.0.into())
            .decrypt([key.as_str()], sealed)
            .ok()
    }
}

/// What is encrypted: a version and a variant, so padded that lengths tell nothing.
fn frame(version: &Version, variant: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(TEXT_BLOCK);
    let block = match version.to_i64() {
        Some(number) => {
            frame.push(NUMBER);
            frame.extend_from_slice(&number.to_be_bytes());
            NUMBER_BLOCK
        }
        None => {
            let text = version.as_bytes();
            frame.push(TEXT);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
            frame.extend_from_slice(text);
            TEXT_BLOCK
        }
    };
    frame.extend_from_slice(variant.as_bytes());
    frame.resize(frame.len().next_multiple_of(block), 0);
    frame
}

fn unframe(frame: &[u8]) -> Option<(Version, String)> {
    let (kind, rest) = frame.split_first()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (version, rest) = match *kind {
        NUMBER => (Version::from(i64::from_be_bytes(*number)), rest),
        TEXT => {
            let length = usize::try_from(u64::from_be_bytes(*number)).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            (Version::new(text).ok()?, rest)
        }
        _ => return None,
    };
    let end = rest.iter().rposition(|byte| *byte != 0);
    let variant = rest.get(..end.map_or(0, |last| last + 1))?;
    Some((version, String::from_utf8(variant.to_vec()).ok()?))
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opaque").finish_non_exhaustive()
    }
}

/// A secret of [`Opaque`] tags is too short to be one.
///
/// ```
/// use tower_conditional::tags::Opaque;
///
/// assert!(Opaque::new("secret").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeakSecret(());

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret has at least {SHORTEST} bytes")
    }
}

impl std::error::Error for WeakSecret {}
