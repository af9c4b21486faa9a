//! The protocols that could guard a resource, each with all its interleavings and faults.
//!
//! `rules` says what a protocol is: one choice out of each of a handful of enums. `world` plays
//! it: one resource, two clients, two writes each; whatever may happen next is one step. `table`
//! says of each protocol whether an update can be lost, and whether one tag can name two states.
//!
//! The search is stateright's. All that needs knowing of it: from the first state it takes every
//! action in every state, until there is no state that it has not seen; an `always` property
//! must be true in all of them, a `sometimes` property in at least one.

mod rules;
mod table;
mod world;

use stateright::{Model, Property};

use self::rules::{Fence, Leaving, Protocol};
use self::world::{Action, World};

const NO_LOST_UPDATE: &str = "no update is lost";
const ONE_STATE: &str = "a tag names one state";
/// What has to be possible, or the search has proved nothing.
const ALL_ACKNOWLEDGED: &str = "every write is acknowledged";
const ORPHAN_LANDED: &str = "a write takes effect whose client has left";
const FENCED: &str = "the fence stops a write";

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(self, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(self, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NO_LOST_UPDATE, |_, world: &World| !world.lost_update()),
            Property::always(ONE_STATE, |_, world: &World| !world.two_states),
            Property::sometimes(ALL_ACKNOWLEDGED, |_, world: &World| {
                world.all_acknowledged()
            }),
        ];
        if self.leaving != Leaving::Never {
            properties.push(Property::sometimes(ORPHAN_LANDED, |_, world: &World| {
                world.orphan_landed
            }));
        }
        if self.fence != Fence::None {
            properties.push(Property::sometimes(FENCED, |_, world: &World| world.fenced));
        }
        properties
    }
}
