//! What the layer adds to a service on each of its paths, beside the least code that does the job
//! and beside what people do today.

mod floor;
mod numbers;
mod peers;
mod requests;

use std::fmt::Debug;
use std::sync::Arc;

use harness::{Bench, Case, Work, ready};
use http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::{Method, Request, Response, StatusCode};
use tokio::runtime;
use tower::{Layer, Service};
use tower_conditional::store::{ClaimOptions, Claimed, Condition, Intent, Outcome};
use tower_conditional::{
    ClaimStore, ConditionalLayer, MemoryStore, Policy, ResourceKey, Runtime, VersionStore,
};
use tower_http::set_header::SetResponseHeaderLayer;

use self::floor::{Floor, FloorLayer, Table};
use self::numbers::{Numbers, Paths};
use self::requests::{Bare, Body, RESOURCES, bare, request, uri};

/// A memory store that was told of every resource.
fn memory() -> MemoryStore {
    let store = MemoryStore::with_runtime(Runtime::inline());
    let options = ClaimOptions {
        wait: std::time::Duration::ZERO,
        lease: std::time::Duration::from_secs(30),
        intent: Intent::Write,
    };
    for nth in 0..RESOURCES {
        let claimed = ready(store.claim(&key(nth), &Condition::Unconditional, options));
        let Ok(Claimed::Granted(claim)) = claimed else {
            panic!("nobody else claims it");
        };
        ready(store.settle(claim, Outcome::Written)).expect("the store is in memory");
    }
    store
}

fn key(nth: usize) -> ResourceKey {
    ResourceKey::new(uri(nth).path())
}

/// The tag of the resource whose turn it is, as a client has it that has just read it.
fn tag(store: &impl VersionStore, nth: usize) -> HeaderValue {
    let snapshot = ready(store.current(&key(nth))).expect("the store is in memory");
    let version = snapshot.state.current().and_then(|it| it.version.clone());
    let tag = format!("\"{}\"", version.expect("it has a version"));
    HeaderValue::try_from(tag).expect("a tag is a field value")
}

/// What the request of a case asks for.
#[derive(Clone, Copy)]
enum Ask {
    Read,
    /// With so many tags, of which the last is the current one.
    ReadFresh(usize),
    ReadStale,
    Write,
    WriteCurrent,
    WriteStale,
}

impl Ask {
    fn request(self, store: &impl VersionStore, nth: usize) -> Request<Body> {
        let stale = HeaderValue::from_static("\"stale\"");
        let field: Option<(HeaderName, HeaderValue)> = match self {
            Self::Read | Self::Write => None,
            Self::ReadFresh(1) => Some((IF_NONE_MATCH, tag(store, nth))),
            Self::ReadFresh(tags) => {
                let mut list: Vec<u8> = (1..tags).flat_map(|_| *b"\"stale\", ").collect();
                list.extend_from_slice(tag(store, nth).as_bytes());
                let list = HeaderValue::from_bytes(&list).expect("tags are a field value");
                Some((IF_NONE_MATCH, list))
            }
            Self::ReadStale => Some((IF_NONE_MATCH, stale)),
            Self::WriteCurrent => Some((IF_MATCH, tag(store, nth))),
            Self::WriteStale => Some((IF_MATCH, stale)),
        };
        let method = match self {
            Self::Read | Self::ReadFresh(_) | Self::ReadStale => Method::GET,
            Self::Write | Self::WriteCurrent | Self::WriteStale => Method::PUT,
        };
        request(method, nth, field)
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Read | Self::ReadStale | Self::WriteCurrent => StatusCode::OK,
            Self::ReadFresh(_) => StatusCode::NOT_MODIFIED,
            Self::Write => StatusCode::PRECONDITION_REQUIRED,
            Self::WriteStale => StatusCode::PRECONDITION_FAILED,
        }
    }

    /// Has the answer of a guarded service to show the tag?
    fn is_stamped(self) -> bool {
        !matches!(self, Self::Write)
    }
}

/// A case: requests that ask `ask`, of the service that `service` makes around a store.
fn case<V, S, R>(
    name: &'static str,
    ask: Ask,
    store: fn() -> V,
    service: impl Fn(&V) -> S + 'static,
) -> Case
where
    V: VersionStore,
    S: Service<Request<Body>, Response = Response<R>> + 'static,
    S::Error: Debug + 'static,
    R: 'static,
{
    driven(name, ask, store, service, || |answer| ready(answer))
}

/// The same, with another way to drive the future of an answer.
fn driven<V, S, R, D>(
    name: &'static str,
    ask: Ask,
    store: fn() -> V,
    service: impl Fn(&V) -> S + 'static,
    driver: impl Fn() -> D + 'static,
) -> Case
where
    V: VersionStore,
    S: Service<Request<Body>, Response = Response<R>> + 'static,
    S::Error: Debug + 'static,
    R: 'static,
    D: Fn(S::Future) -> Result<Response<R>, S::Error> + 'static,
{
    Case::new(name, move || {
        let store = store();
        let mut service = service(&store);
        let drive = driver();
        let mut turn = 0;
        let prepare = move || {
            turn += 1;
            ask.request(&store, turn)
        };
        Work::new(prepare, move |request| drive(service.call(request))).checked(move |answer| {
            let answer = answer.as_ref().expect("the handler does not fail");
            assert_eq!(answer.status(), ask.status(), "{name}");
            if ![BARE, BARE_ROUTER, OTHER_ROUTE].contains(&name) {
                let stamped = answer.headers().contains_key(ETAG);
                assert_eq!(stamped, ask.is_stamped(), "{name}");
            }
        })
    })
}

const BARE: &str = "the bare service";
const BARE_ROUTER: &str = "the bare axum router";
const YARDSTICK: &str = "tower-http SetResponseHeader";
const OTHER_ROUTE: &str = "layer, around a route that is not its own";
const FLOOR: &str = "floor";

fn numbers() -> Numbers {
    let table = Table::new();
    for nth in 0..RESOURCES {
        table.add(numbers::digest(&key(nth)));
    }
    Numbers(Arc::new(table))
}

fn paths() -> Paths {
    let table = Table::new();
    for nth in 0..RESOURCES {
        table.add(table.digest(uri(nth).path()));
    }
    Paths(Arc::new(table))
}

/// The layer as it is benched: writes are not detached, refusals have no content.
fn layer(store: impl ClaimStore) -> ConditionalLayer {
    ConditionalLayer::with_runtime(store, Runtime::inline()).policy(policy())
}

fn policy() -> Policy {
    Policy::rfc9110().without_documents()
}

fn bare_case(ask: Ask) -> Case {
    case(BARE, ask, numbers, |_| bare())
}

fn floor(paths: &Paths) -> Floor<Bare> {
    FloorLayer(Arc::clone(&paths.0)).layer(bare())
}

fn floor_case(ask: Ask) -> Case {
    case(FLOOR, ask, paths, floor)
}

fn tokio_runtime() -> runtime::Runtime {
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime of one thread")
}

/// Writes where a client that leaves cannot stop them: what the layer does by default.
fn detached<V: ClaimStore + Clone>(name: &'static str, store: fn() -> V) -> Case {
    let service = |store: &V| {
        ConditionalLayer::new(store.clone())
            .policy(policy())
            .layer(bare())
    };
    driven(name, Ask::WriteCurrent, store, service, || {
        let runtime = tokio_runtime();
        move |answer| runtime.block_on(answer)
    })
}

/// The layer around the bare service: with the floor's table, through a pointer, in memory.
fn own_cases(ask: Ask) -> [Case; 3] {
    let counted = |case: Case, allocations: Option<u64>| match allocations {
        Some(allocations) => case.allocates(allocations),
        None => case,
    };
    // A handler's own first field takes two. A tag of the memory store is long, and made anew
    // where it is not the one that the client has sent.
    let (numbers_allocate, memory_allocates) = match ask {
        Ask::Read => (Some(2), Some(3)),
        Ask::ReadFresh(1) | Ask::Write => (Some(0), Some(0)),
        Ask::ReadFresh(_) | Ask::WriteStale => (Some(0), Some(1)),
        Ask::ReadStale | Ask::WriteCurrent => (None, None),
    };
    [
        counted(
            case("layer", ask, numbers, |numbers| {
                layer(numbers.clone()).layer(bare())
            }),
            numbers_allocate,
        ),
        counted(
            case("layer, Arc<dyn ClaimStore>", ask, numbers, |numbers| {
                let store: Arc<dyn ClaimStore> = Arc::new(numbers.clone());
                layer(store).layer(bare())
            }),
            numbers_allocate,
        ),
        counted(
            case("layer, MemoryStore", ask, memory, |store| {
                layer(store.clone()).layer(bare())
            }),
            memory_allocates,
        ),
    ]
}

fn peer_cases(ask: Ask) -> [Case; 4] {
    [
        case(
            "layer, outside of an axum router",
            ask,
            numbers,
            |numbers| layer(numbers.clone()).layer(peers::bare()),
        ),
        case("layer, as axum's Router::layer", ask, numbers, |numbers| {
            peers::bare().layer(layer(numbers.clone()))
        }),
        case("axum, by hand, typed headers", ask, paths, |paths| {
            peers::by_hand(Arc::clone(&paths.0))
        }),
        case("axum, middleware::from_fn", ask, paths, |paths| {
            peers::by_middleware(Arc::clone(&paths.0))
        }),
    ]
}

fn main() {
    let mut bench = Bench::from_args("layer");
    for (name, ask) in [
        ("GET, one tag, 304", Ask::ReadFresh(1)),
        ("GET, ten tags, 304", Ask::ReadFresh(10)),
        ("PUT, stale, 412", Ask::WriteStale),
        ("PUT, no If-Match, 428", Ask::Write),
        ("PUT, accepted", Ask::WriteCurrent),
    ] {
        let mut cases = vec![floor_case(ask)];
        cases.extend(own_cases(ask));
        cases.extend(peer_cases(ask));
        bench.table(name, cases);
    }
    for (name, ask) in [
        ("GET, forwarded and stamped", Ask::Read),
        ("GET, another tag, forwarded and stamped", Ask::ReadStale),
    ] {
        let mut cases = vec![
            bare_case(ask),
            case(YARDSTICK, ask, numbers, |_| {
                let tag = HeaderValue::from_static("\"5\"");
                SetResponseHeaderLayer::overriding(ETAG, tag).layer(bare())
            }),
            floor_case(ask),
        ];
        cases.extend(own_cases(ask));
        cases.push(case(BARE_ROUTER, ask, numbers, |_| peers::bare()));
        cases.extend(peer_cases(ask));
        bench.table(name, cases);
    }
    bench.table(
        "PUT, accepted, detached",
        vec![
            driven("floor, spawned", Ask::WriteCurrent, paths, floor, || {
                let runtime = tokio_runtime();
                move |answer| {
                    let spawned = async { tokio::spawn(answer).await.expect("it does not panic") };
                    runtime.block_on(spawned)
                }
            }),
            detached("layer", numbers),
            detached("layer, MemoryStore", memory),
        ],
    );
    bench.table(
        "GET, a policy that asks nothing",
        vec![
            bare_case(Ask::Read),
            case(OTHER_ROUTE, Ask::Read, numbers, |numbers| {
                layer(numbers.clone()).policy_for(|_| None).layer(bare())
            })
            .allocates(2),
        ],
    );
    bench.finish();
}
