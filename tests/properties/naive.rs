//! The oracle: RFC 9110, section 13, read word by word.
//!
//! It is written without a look at how the library does it, in the plainest way that works: every
//! field is joined and copied, every list is taken apart before anything is compared, every step
//! of 13.2.2 is a step here. Where the RFC leaves a choice, the comment says which one is ours.

/// A request as plain data: names in lower case, values as bytes, field lines in order.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) lines: Vec<(&'static str, Vec<u8>)>,
}

/// An entity-tag as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) weak: bool,
    pub(crate) opaque: Vec<u8>,
}

/// A representation as plain data.
#[derive(Debug, Clone)]
pub(crate) struct Representation {
    pub(crate) tag: Option<Tag>,
    pub(crate) alternates: Vec<Tag>,
    /// Seconds since the minute that all dates here fall into.
    pub(crate) modified: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) enum Resource {
    Absent,
    Present(Representation),
    Unseen(Representation),
}

/// What the route chooses.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) required: bool,
    pub(crate) malformed_is_bad_request: bool,
    pub(crate) creates: bool,
    pub(crate) handler_compares: bool,
    pub(crate) tolerant: bool,
    /// Must the resource be there for a write, or not be there?
    pub(crate) existence: Option<bool>,
    pub(crate) most_bytes: usize,
    pub(crate) most_tags: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Forward { range: bool },
    Malformed(&'static str),
    Missing,
    NotFound,
    NotModified,
    Probe,
    Refuse(&'static str),
}

/// A field that holds `"*" / #entity-tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum List {
    Any,
    Malformed,
    Tags(Vec<Tag>),
}

/// Sections 13.2.1 and 13.2.2. `now` as for [`Representation::modified`].
pub(crate) fn answer(
    request: &Request,
    resource: &Resource,
    route: &Route,
    now: Option<u64>,
) -> Answer {
    // 13.2.1: a server MUST ignore the conditional fields "when received with a request method
    // that does not involve the selection or modification of a selected representation, such as
    // CONNECT, OPTIONS, or TRACE". Ours: QUERY too, whose answer depends on its content.
    if ["OPTIONS", "TRACE", "CONNECT", "QUERY"].contains(&request.method) {
        return Answer::Forward { range: true };
    }
    let reads = ["GET", "HEAD"].contains(&request.method);
    let current = match resource {
        Resource::Absent => None,
        Resource::Present(current) | Resource::Unseen(current) => Some(current),
    };
    let certain = !matches!(resource, Resource::Unseen(_));

    // 13.1.5: "A recipient of an If-Range header field MUST ignore the Range header field if the
    // If-Range condition evaluates as false." Ours: Range means nothing on a write.
    let forward = Answer::Forward {
        range: !reads || if_range_is_true(request, current, now),
    };

    // Ours: what the route itself says of a resource that is missing comes before any condition, as
    // a 404 does.
    if !reads && current.is_none() && route.existence == Some(true) {
        return Answer::Refuse("not-set");
    }

    // 13.2.1: "A server MUST ignore all received preconditions if its response to the same request
    // without those conditions, prior to processing the request content, would have been a status
    // code other than a 2xx (Successful) or 412". Ours: 404 is told before a missing If-Match too.
    if current.is_none() && (reads || !route.creates) {
        // Ours: a handler that does not compare could say 204 to a second `DELETE` of one version.
        let names_a_version = request.lines.iter().any(|(name, _)| *name == "if-match");
        if !reads && names_a_version && !route.handler_compares {
            return Answer::NotFound;
        }
        return forward;
    }

    let if_none_match = list(request, "if-none-match", route);

    if let Some(condition) = list(request, "if-match", route) {
        // Step 1, "When recipient is the origin server and If-Match is present".
        match condition {
            List::Malformed if route.malformed_is_bad_request => {
                return Answer::Malformed("if-match");
            }
            // Ours: what cannot be read is false.
            List::Malformed => return Answer::Refuse("if-match"),
            // 13.1.1, 1: "If the field value is "*", the condition is true if the origin server
            // has a current representation for the target resource." Ours: a method that does not
            // create need not know, since the handler has its own 404.
            List::Any if !certain && !reads && route.creates => return Answer::Probe,
            List::Any if current.is_none() => return Answer::Refuse("if-match"),
            List::Any => {}
            // 13.1.1, 2: "the condition is true if any of the listed tags match the entity tag of
            // the selected representation", by the strong comparison. Ours: or the tag of another
            // representation of the same state.
            List::Tags(tags) => {
                let own = current.and_then(|current| current.tag.as_ref());
                let others = current.map_or(&[][..], |current| &current.alternates);
                let is_true = tags.iter().any(|sent| {
                    own.into_iter().chain(others).any(|tag| {
                        strong_comparison(tag, sent)
                            || route.tolerant && strong_comparison(tag, &unmarked(sent))
                    })
                });
                if !is_true {
                    return Answer::Refuse("if-match");
                }
            }
        }
    } else {
        // RFC 6585, 3. Ours: `If-None-Match: *` is condition enough.
        if !reads && route.required && if_none_match != Some(List::Any) {
            return Answer::Missing;
        }
        // Step 2, "When recipient is the origin server, If-Match is not present, and
        // If-Unmodified-Since is present". 13.1.4: MUST be ignored without a valid date, or
        // without a modification date.
        if let Some(date) = date(request, "if-unmodified-since")
            && let Some(modified) = current.and_then(|current| current.modified)
        {
            let is_true = modified <= date;
            if !is_true {
                return Answer::Refuse("if-unmodified-since");
            }
        }
    }

    if let Some(condition) = if_none_match {
        // Step 3, "When If-None-Match is present".
        let is_true = match condition {
            // Ours: what cannot be read matches nothing; a write with it is a bad request.
            List::Malformed if reads => true,
            List::Malformed => return Answer::Malformed("if-none-match"),
            // 13.1.2, 1: "If the field value is "*", the condition is false if the origin server
            // has a current representation". Ours: a read of what may not be there is a read.
            List::Any if !certain && !reads => return Answer::Probe,
            List::Any => current.is_none() || !certain,
            // 13.1.2, 2: "the condition is false if one of the listed tags matches the entity tag
            // of the selected representation", by the weak comparison.
            List::Tags(tags) => {
                let own = current.and_then(|current| current.tag.as_ref());
                !tags.iter().any(|sent| {
                    own.is_some_and(|tag| {
                        weak_comparison(tag, sent)
                            || route.tolerant && weak_comparison(tag, &unmarked(sent))
                    })
                })
            }
        };
        if !is_true && reads {
            return Answer::NotModified;
        }
        if !is_true {
            return Answer::Refuse("if-none-match");
        }
    } else if reads {
        // Step 4, "When the method is GET or HEAD, If-None-Match is not present, and
        // If-Modified-Since is present".
        if let Some(date) = date(request, "if-modified-since")
            && let Some(modified) = current.and_then(|current| current.modified)
        {
            let is_true = modified > date;
            if !is_true {
                return Answer::NotModified;
            }
        }
    }

    // Ours: what is there already is told once all conditions hold.
    if !reads && route.existence.is_some() {
        if !certain {
            return Answer::Probe;
        }
        if route.existence == Some(false) && current.is_some() {
            return Answer::Refuse("already-set");
        }
    }

    // Steps 5 and 6.
    forward
}

/// 13.1.5; a request without Range, or without If-Range, has nothing that could be false.
fn if_range_is_true(request: &Request, current: Option<&Representation>, now: Option<u64>) -> bool {
    let values = values(request, "if-range");
    if values.is_empty() || self::values(request, "range").is_empty() {
        return true;
    }
    let [value] = values.as_slice() else {
        return false;
    };
    let Some(current) = current else {
        return false;
    };
    let value = trim(value);
    if let Some(date) = spelled_date(&value) {
        // "If the HTTP-date validator provided is not a strong validator in the sense defined by
        // Section 8.8.2.2, the condition is false", and "exactly matches". Ours, of 8.8.2.2: a
        // date is strong once the second that it names is over.
        return current.modified == Some(date) && now.is_some_and(|now| now > date);
    }
    match (entity_tag(&value), &current.tag) {
        (Some(sent), Some(tag)) => strong_comparison(tag, &sent),
        _ => false,
    }
}

/// 8.8.3.2: "two entity tags are equivalent if both are not weak and their opaque-tags match
/// character-by-character".
pub(crate) fn strong_comparison(one: &Tag, other: &Tag) -> bool {
    !one.weak && !other.weak && one.opaque == other.opaque
}

/// 8.8.3.2: "two entity tags are equivalent if their opaque-tags match character-by-character,
/// regardless of either or both being tagged as "weak"".
pub(crate) fn weak_comparison(one: &Tag, other: &Tag) -> bool {
    one.opaque == other.opaque
}

/// What a tolerant route takes off: `W/` and the name of one content coding.
fn unmarked(tag: &Tag) -> Tag {
    let mut opaque = tag.opaque.clone();
    for coding in ["--gzip", "-gzip", "-br", "-zstd", "-deflate"] {
        if opaque.ends_with(coding.as_bytes()) {
            opaque.truncate(opaque.len() - coding.len());
            break;
        }
    }
    Tag {
        weak: false,
        opaque,
    }
}

/// 5.3: a field with several lines is its values, joined by a comma and a space.
fn list(request: &Request, name: &str, route: &Route) -> Option<List> {
    let lines = values(request, name);
    (!lines.is_empty()).then(|| read_list(&lines, route.most_bytes, route.most_tags))
}

pub(crate) fn read_list(lines: &[Vec<u8>], most_bytes: usize, most_tags: usize) -> List {
    let joined = lines.join(&b", "[..]);
    if trim(&joined) == b"*" {
        return List::Any;
    }
    let tags = members(&joined)
        .iter()
        .map(|member| entity_tag(member))
        .collect::<Option<Vec<_>>>();
    let bytes = lines.iter().map(Vec::len).sum::<usize>();
    match tags {
        Some(tags) if !tags.is_empty() && tags.len() <= most_tags && bytes <= most_bytes => {
            List::Tags(tags)
        }
        _ => List::Malformed,
    }
}

/// 5.6.1.2: the members of a list, without whitespace around them, without the empty ones. A comma
/// between quotes parts nothing.
pub(crate) fn members(value: &[u8]) -> Vec<Vec<u8>> {
    let mut members = vec![Vec::new()];
    let mut quoted = false;
    for &byte in value {
        if byte == b'"' {
            quoted = !quoted;
        }
        if byte == b',' && !quoted {
            members.push(Vec::new());
        } else {
            members.last_mut().unwrap().push(byte);
        }
    }
    members
        .iter()
        .map(|member| trim(member))
        .filter(|member| !member.is_empty())
        .collect()
}

/// 8.8.3: `entity-tag = [ weak ] opaque-tag`, `weak = %s"W/"`, `opaque-tag = DQUOTE *etagc DQUOTE`,
/// `etagc = %x21 / %x23-7E / obs-text`.
pub(crate) fn entity_tag(text: &[u8]) -> Option<Tag> {
    let weak = text.starts_with(b"W/");
    let quoted = if weak { &text[2..] } else { text };
    if quoted.len() < 2 || quoted[0] != b'"' || quoted[quoted.len() - 1] != b'"' {
        return None;
    }
    let opaque = quoted[1..quoted.len() - 1].to_vec();
    let legal = opaque
        .iter()
        .all(|&byte| byte == 0x21 || (0x23..=0x7E).contains(&byte) || byte >= 0x80);
    legal.then_some(Tag { weak, opaque })
}

/// A date that came once and can be read.
fn date(request: &Request, name: &str) -> Option<u64> {
    match values(request, name).as_slice() {
        [value] => spelled_date(&trim(value)),
        _ => None,
    }
}

/// All dates of these tests fall into one minute, so reading one is looking it up.
pub(crate) fn spelled_date(text: &[u8]) -> Option<u64> {
    (0..60).find(|&second| spellings(second).iter().any(|date| date.as_bytes() == text))
}

/// 5.6.7: IMF-fixdate, RFC 850 and asctime.
pub(crate) fn spellings(second: u64) -> [String; 3] {
    [
        format!("Sun, 06 Nov 1994 08:49:{second:02} GMT"),
        format!("Sunday, 06-Nov-94 08:49:{second:02} GMT"),
        format!("Sun Nov  6 08:49:{second:02} 1994"),
    ]
}

fn values(request: &Request, name: &str) -> Vec<Vec<u8>> {
    let lines = request.lines.iter().filter(|(line, _)| *line == name);
    lines.map(|(_, value)| value.clone()).collect()
}

/// 5.6.3: optional whitespace is spaces and tabs.
pub(crate) fn trim(value: &[u8]) -> Vec<u8> {
    let is_space = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let mut trimmed = value.to_vec();
    while trimmed.first().is_some_and(is_space) {
        trimmed.remove(0);
    }
    while trimmed.last().is_some_and(is_space) {
        trimmed.pop();
    }
    trimmed
}
