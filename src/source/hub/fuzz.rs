//! Fuzz entry point for what is pushed in, also for the replay of the corpus: it takes the head and the bytes of a body, and asserts
//! what holds for all input. Nothing else uses it.

use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{Hub, HubSettings};
use crate::{
    client::{HeaderMap, header},
    feed::{Kind, Limits, Registry, Settings, Subscription, TakeLimit},
    hooks::{HookSettings, Hooks},
    intake::{Intake, Push, PushHead, PushRefusal, PushShape, SeveralHead},
    source::Context,
    wire::Boundary,
};

/// Nothing runs on it: feeds of a hub without hooks and without a pace have no tasks.
static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| Builder::new_current_thread().build().ok());

/// The head of a body: its shape, whether it says its length, its type, and the largest part in bytes.
#[derive(Debug)]
struct FuzzHead<'a> {
    shape: Option<PushShape>,
    has_length: bool,
    media: &'a [u8],
    part_bytes: usize,
}

/// How many parts a body has made, or why it was refused.
type Outcome = Result<u64, PushRefusal>;
/// A part that was published: its feed, its type and its bytes.
type Pushed = (String, String, Vec<u8>);

/// A pushed body: two read sizes, a byte that chooses shape, framing and limit, the `Content-Type` up to a line feed, and the bytes. The
/// parts do not depend on the sizes of reads, none is empty or too large, and a body that is cut off has made the parts of its
/// beginning.
pub fn push(input: &[u8]) {
    let [first, second, choice, rest @ ..] = input else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (media, body) = (&rest[..end], &rest[end + 1..]);
    let shape = [Some(PushShape::Stream), Some(PushShape::Part), None, Some(PushShape::Stream)][usize::from(*choice % 4)];
    let part_bytes = [64, 1000, 1 << 20][usize::from(*choice / 8 % 3)];
    let head = FuzzHead { shape, has_length: *choice & 4 != 0, media, part_bytes };
    let sizes = [usize::from(*first % 64) + 1, usize::from(*second) + 1];
    let Some((whole, kinds, ended)) = run(&head, body, [usize::MAX; 2], true) else { return };
    assert!(whole.iter().all(|(.., bytes)| (1..=part_bytes).contains(&bytes.len())), "{whole:?}");
    let Some((pieces, piecewise_kinds, piecewise)) = run(&head, body, sizes, true) else { return };
    assert_eq!(piecewise, ended, "in pieces of {sizes:?} {head:?}");
    if shape == Some(PushShape::Stream) && matches!(ended, Err(PushRefusal::Type(_))) {
        // Lines may have come before what shows that it is no text.
        return assert!(pieces.starts_with(&whole), "{whole:?} {pieces:?}");
    }
    assert_eq!((pieces, piecewise_kinds), (whole.clone(), kinds), "in pieces of {sizes:?} {head:?}");
    let cut = body.len() * usize::from(*second) / 256;
    let Some((begun, ..)) = run(&head, &body[..cut], sizes, false) else { return };
    assert!(whole.starts_with(&begun), "cut off behind {cut} bytes {head:?}: {begun:?} instead of {whole:?}");
}

/// Pushes a body in pieces into a hub of its own. Returns what was published, of which kinds the feeds are in the end, and the outcome;
/// `None` if there is no such head.
fn run(head: &FuzzHead<'_>, body: &[u8], sizes: [usize; 2], ends: bool) -> Option<(Vec<Pushed>, Vec<Kind>, Outcome)> {
    let runtime = RUNTIME.as_ref()?.handle().clone();
    let limits = Limits::new(None, head.part_bytes, true);
    let (opener, registry) = Registry::new(Settings { has_recorder: true, ..Settings::new(Boundary::random(), limits) });
    let hooks = Hooks { settings: HookSettings::default(), runtime: runtime.clone() };
    let hub = Hub::new(HubSettings { allow: Vec::new(), max_feeds: 4, expire: None });
    let context = Context { opener, media: None, name: None, hooks, runtime, shutdown: CancellationToken::new() };
    drop(hub.source(context));
    let mut headers = HeaderMap::new();
    if !head.media.is_empty() {
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_bytes(head.media).ok()?);
    }
    let length = head.has_length.then_some(body.len() as u64);
    let begun = match head.shape {
        Some(shape) => hub.begin(PushHead { name: "fuzz".to_owned(), shape, headers, length }),
        None => hub.begin_several(SeveralHead { headers, length, may_push: Box::new(|name| !name.contains('x')) }),
    };
    let mut readers = AllParts { registry, readers: Vec::new(), parts: Vec::new() };
    let outcome = begun.and_then(|push| readers.push(push, body, sizes, ends));
    // Which feed's part came first is told by no clock.
    readers.parts.sort_by(|one, other| one.0.cmp(&other.0));
    let kinds = readers.readers.iter().map(|reader| reader.feed().kind()).collect();
    Some((readers.parts, kinds, outcome))
}

/// Takes every part of every feed.
struct AllParts {
    registry: Arc<Registry>,
    readers: Vec<Subscription>,
    parts: Vec<Pushed>,
}

impl AllParts {
    fn push(&mut self, mut push: Box<dyn Push>, body: &[u8], sizes: [usize; 2], ends: bool) -> Outcome {
        let (mut rest, mut sizes) = (body, sizes.into_iter().cycle());
        let mut made = 0;
        while !rest.is_empty() {
            let (piece, remaining) = rest.split_at(rest.len().min(sizes.next().unwrap_or(1)));
            let result = push.push(piece);
            self.take();
            made += result? as u64;
            rest = remaining;
        }
        if !ends {
            drop(push);
            self.take();
            return Ok(made);
        }
        let outcome = push.finish();
        self.take();
        outcome.map(|outcome| outcome.parts)
    }

    fn take(&mut self) {
        let shard = self.registry.recorder_shard().unwrap_or_default();
        let new = self.registry.take_unseen();
        self.readers.extend(new.iter().filter_map(|mount| Some(mount.shared()?.subscribe_to_all(shard))));
        for reader in &mut self.readers {
            while let Some(batch) = reader.take(TakeLimit::ALL) {
                let name = &reader.feed().name;
                let parts = batch.parts.parts();
                self.parts.extend(parts.map(|part| (name.clone(), part.media().as_str().to_owned(), part.body().to_vec())));
                assert_eq!(batch.dropped, 0, "of {name:?}");
            }
        }
    }
}
