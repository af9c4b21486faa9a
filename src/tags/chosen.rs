//! What a policy has chosen of all this, with the short way for those who chose nothing.

use std::sync::Arc;

use http::request::Parts;

use super::{MAIN, TagStyle};
use crate::entity_tag::{EntityTag, EntityTagRef};
use crate::key::ResourceKey;
use crate::store::{Current, Version};

type Applies = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// Which of the representations of a resource; `None` is the main one.
pub(crate) type Variant = Option<Arc<str>>;

/// The tags of a route.
#[derive(Clone, Default)]
pub(crate) struct Chosen {
    style: Option<Arc<dyn TagStyle>>,
    variants: Vec<(Arc<str>, Applies)>,
}

impl Chosen {
    pub(crate) fn set_style(&mut self, style: Arc<dyn TagStyle>) {
        self.style = Some(style);
    }

    pub(crate) fn add_variant(&mut self, name: Arc<str>, applies: Applies) {
        self.variants.push((name, applies));
    }

    /// Is a tag the version in quotes, and nothing else?
    pub(crate) fn is_one_to_one(&self) -> bool {
        self.style.is_none() && self.variants.is_empty()
    }

    /// Which representation a request is about.
    pub(crate) fn variant_of(&self, parts: &Parts) -> Variant {
        let mut variants = self.variants.iter();
        let (name, _) = variants.find(|(_, applies)| applies(parts))?;
        Some(Arc::clone(name))
    }

    /// The tag of a representation, if it has a version to make one of.
    pub(crate) fn tag(
        &self,
        key: &ResourceKey,
        current: &Current,
        variant: &Variant,
    ) -> Option<EntityTag> {
        let version = current.version.as_ref()?;
        if self.is_one_to_one() {
            return Some(EntityTag::of_version(version.as_bytes(), current.weak));
        }
        let tag = self
            .style()
            .encode(key, version, variant.as_deref().unwrap_or(MAIN));
        Some(match current.weak {
            true => EntityTag::of_version(tag.opaque(), true),
            false => tag,
        })
    }

    /// What a tag names. One of a variant that the route does not have names nothing.
    pub(crate) fn named(
        &self,
        key: &ResourceKey,
        tag: EntityTagRef<'_>,
    ) -> Option<(Version, Variant)> {
        if self.is_one_to_one() {
            return Some((Version::from_opaque(&[tag.opaque()]), None));
        }
        let (version, variant) = self.style().decode(key, tag.opaque())?;
        if variant == MAIN {
            return Some((version, None));
        }
        let mut variants = self.variants.iter();
        let (name, _) = variants.find(|(name, _)| **name == *variant)?;
        Some((version, Some(Arc::clone(name))))
    }

    fn style(&self) -> &dyn TagStyle {
        self.style.as_deref().unwrap_or(&super::Plain)
    }
}
