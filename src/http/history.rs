//! The replies about the past: a part of a time, the list of parts, a stretch as a file, and why there is none. `past` finds and reads
//! them, on threads of `reads`.

use std::{
    fmt::Write,
    io,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderMap, HeaderValue},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use super::{
    past::{self, Download, ListedPart, NotShown, PartList, PastFeed, PastPart, RecordedBody},
    query::ShownQuery,
    reads::{Crowded, PIECE, Pieces, ReadBody, Reads, counted, counted_bytes},
    response::{Reply, ReplyBody, SANDBOX, finish_with, reply, text},
    route::FeedSelector,
    snapshot::{ShownPart, lent},
};
use crate::{
    conn::pending::PendingConn,
    escape::Escaped,
    feed::{Mount, Registry},
    format::Media,
    part::Timestamp,
    recording::{Archive, Export, Indexing, download_name},
    stats::Lease,
};

/// The longest wait for the index of a recording, before the client is told to ask again.
const INDEX_WAIT: Duration = Duration::from_secs(5);
/// The pause between two looks whether it goes far enough.
const INDEX_PAUSE: Duration = Duration::from_millis(50);

/// The feed whose past a request asks for.
#[derive(Debug, Clone)]
pub(super) struct AskedFeed {
    pub(super) archive: Option<Arc<Archive>>,
    /// Its mount, if it is served now.
    pub(super) mount: Option<Arc<Mount>>,
    pub(super) selector: FeedSelector,
}

impl AskedFeed {
    /// The feed, also one that is recorded and not served; `None` if there is none.
    fn find(&self) -> Result<Option<PastFeed>, Indexing> {
        let archive = self.archive.clone();
        if let Some(mount) = &self.mount {
            return Ok(Some(past_of(archive, mount)));
        }
        let Some(recorded) = &archive else { return Ok(None) };
        let refreshed = recorded.refresh();
        let name = match &self.selector {
            FeedSelector::Named(name) | FeedSelector::Camera(name) => recorded.has(name).then(|| name.clone()),
            // A feed that is not found yet may come before.
            FeedSelector::Number(number) => refreshed.map(|()| recorded.feeds().into_iter().nth(*number))?,
            FeedSelector::All => None,
        };
        match name {
            Some(name) => Ok(Some(PastFeed { archive, feed: None, name })),
            None => refreshed.map(|()| None),
        }
    }
}

fn past_of(archive: Option<Arc<Archive>>, mount: &Mount) -> PastFeed {
    PastFeed { archive, feed: mount.shared().cloned(), name: mount.name().to_owned() }
}

/// What a reply needs beside the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplyContext<'a> {
    pub(super) registry: &'a Registry,
    pub(super) reads: &'a Arc<Reads>,
    pub(super) conn: &'a PendingConn,
}

impl ReplyContext<'_> {
    /// The body of these bytes, which are counted while they are sent.
    fn counted(&self, bytes: impl Into<Bytes>) -> ReplyBody {
        let (bytes, lease) = counted_bytes(&self.registry.settings().memory, bytes.into());
        self.conn.count_reply([lease]);
        ReplyBody::finite(bytes)
    }

    /// The body of these pieces, of which one is in memory at a time; `held` is memory that they keep beside it.
    fn pieces(
        &self,
        pieces: impl Pieces,
        length: Option<u64>,
        place: Option<OwnedSemaphorePermit>,
        held: Vec<Weak<Lease>>,
    ) -> ReplyBody {
        let lease = counted(&self.registry.settings().memory, PIECE);
        let body = ReadBody::new(self.reads.clone(), pieces, length, place, lease);
        self.conn.count_reply(held.into_iter().chain([body.lease()]));
        ReplyBody::Read(body)
    }
}

/// Looks until the index goes far enough, but not for long.
async fn look<T: Send + 'static>(
    reads: &Reads,
    look: impl Fn() -> Result<T, Indexing> + Send + Sync + 'static,
) -> Result<T, Box<Reply>> {
    let (look, deadline) = (Arc::new(look), Instant::now() + INDEX_WAIT);
    loop {
        let this = look.clone();
        match reads.run(move || this()).await {
            Err(Crowded) => return Err(Box::new(again("too many ask for the past at the moment"))),
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(indexing)) if Instant::now() >= deadline => return Err(Box::new(again(&indexing.to_string()))),
            Ok(Err(_)) => sleep(INDEX_PAUSE).await,
        }
    }
}

/// 503: the client is to ask again.
fn again(why: &str) -> Reply {
    let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, &format!("mxr: {why}\nhint: ask again in a moment"));
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

fn not_found(why: &str) -> Reply {
    text(StatusCode::NOT_FOUND, &format!("mxr: {why}"))
}

/// The part that was shown at a time; `None` if there is no such feed.
pub(super) async fn shown(asked: AskedFeed, query: ShownQuery, request: &HeaderMap, context: ReplyContext<'_>) -> Option<Reply> {
    let found = look(context.reads, move || {
        let Some(feed) = asked.find()? else { return Ok(None) };
        let shown = feed.shown(query)?;
        // Most are small, and read in the same go.
        let read = shown.map(|part| match part {
            PastPart::Recorded(mut body) => match body.whole() {
                Ok(whole) => Ok((PastPart::Recorded(body), whole)),
                Err(why) => Err(NotShown::Unreadable(why)),
            },
            held @ PastPart::Held(_) => Ok((held, None)),
        });
        Ok(Some((feed.name, read.and_then(|read| read))))
    });
    match found.await {
        Err(reply) => Some(*reply),
        Ok(None) => None,
        Ok(Some((name, Err(why)))) => Some(not_shown(&name, &why)),
        Ok(Some((_, Ok((part, whole))))) => Some(part_reply(part, whole, request, context)),
    }
}

fn part_reply(part: PastPart, whole: Option<Bytes>, request: &HeaderMap, context: ReplyContext<'_>) -> Reply {
    let shown = |media, time: SystemTime, sequence: Option<u64>| ShownPart {
        media,
        time,
        sequence,
        // The same whether it comes from memory or from a disk.
        etag: format!("\"{}-{}\"", Timestamp(time), sequence.unwrap_or(0)),
        has_own_second: false,
        caching: "no-store",
    };
    match part {
        PastPart::Held(part) => {
            let body = || lent(&part, |lease| context.conn.count_reply([lease]));
            shown(part.media(), part.time(), Some(part.sequence())).reply(request, body)
        }
        PastPart::Recorded(body) => {
            let media = body.head.headers.media.clone().unwrap_or_else(|| Media::from_known("application/octet-stream"));
            shown(&media, body.time, body.head.headers.sequence).reply(request, || match whole {
                Some(whole) => context.counted(whole),
                None => {
                    let length = body.head.length;
                    context.pieces(*body, Some(length), None, Vec::new())
                }
            })
        }
    }
}

impl Pieces for RecordedBody {
    fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        self.next_piece().map(|piece| (!piece.is_empty()).then_some(piece))
    }
}

impl Pieces for Export {
    fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        self.next_chunk()
    }
}

fn not_shown(name: &str, why: &NotShown) -> Reply {
    let (name, utc) = (Escaped(format!("{name:?}")), |time: &SystemTime| humantime::format_rfc3339_micros(*time).to_string());
    match why {
        NotShown::Nothing => not_found(&format!("nothing of {name} is recorded or held")),
        NotShown::BeforeFirst(first) => not_found(&format!("the first part of {name} is of {}, {}", utc(first), Timestamp(*first))),
        NotShown::NoStep(time) => not_found(&format!("there is no further part of {name} on that side of {}", utc(time))),
        NotShown::Unreadable(why) if why.kind() == io::ErrorKind::NotFound => again("the part was deleted meanwhile"),
        NotShown::Unreadable(why) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, &format!("mxr: cannot read the recording: {}", Escaped(why)))
        }
    }
}

/// The list of a feed's parts; `None` if there is no such feed.
pub(super) async fn parts(
    asked: AskedFeed,
    stretch: (SystemTime, SystemTime),
    max: usize,
    context: ReplyContext<'_>,
) -> Option<Reply> {
    let found = look(context.reads, move || {
        let Some(feed) = asked.find()? else { return Ok(None) };
        Ok(Some(list_json(&feed.name, &feed.list(stretch, max)?)))
    });
    match found.await {
        Err(reply) => Some(*reply),
        Ok(None) => None,
        Ok(Some(json)) => {
            let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
            Some(finish_with(builder.header(header::CACHE_CONTROL, "no-store"), context.counted(json)))
        }
    }
}

/// Written by hand, since floats have no microseconds left that are exact in six digits.
fn list_json(name: &str, list: &PartList) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let seconds = |time: SystemTime| Timestamp(time).to_string();
    let (first, last) = list.span.map(|(first, last)| (seconds(first), seconds(last))).unzip();
    let null = || "null".to_owned();
    let mut json = format!(
        "{{\"name\":{},\"first\":{},\"last\":{},\"count\":{},\"parts\":[",
        quoted(name),
        first.unwrap_or_else(null),
        last.unwrap_or_else(null),
        list.count
    );
    for (index, ListedPart { time, sequence, media, bytes }) in list.parts.iter().enumerate() {
        let (comma, sequence) = (if index > 0 { "," } else { "" }, sequence.map_or_else(null, |sequence| sequence.to_string()));
        // Writing to a string cannot fail.
        let _ = write!(
            json,
            "{comma}{{\"time\":{},\"sequence\":{sequence},\"type\":{},\"size\":{bytes}}}",
            seconds(*time),
            quoted(media)
        );
    }
    json + "]}"
}

/// A stretch of a feed, or of all, as a file; `None` if there is no such feed.
pub(super) async fn recording(
    asked: AskedFeed,
    stretch: (SystemTime, SystemTime),
    newest: Option<usize>,
    context: ReplyContext<'_>,
) -> Option<Reply> {
    let Ok(place) = context.reads.download() else { return Some(again("too many downloads run at the moment")) };
    let list = context.registry.list();
    let found = look(context.reads, move || {
        let archive = asked.archive.as_ref();
        let (feeds, only) = match &asked.selector {
            FeedSelector::All => (list.iter().map(|mounted| past_of(archive.cloned(), &mounted.mount)).collect(), None),
            _ => match asked.find()? {
                Some(feed) => (vec![feed.clone()], Some(feed.name)),
                None => return Ok(None),
            },
        };
        let download = past::download(&feeds, archive, only.as_deref(), stretch, newest)?;
        Ok(Some((only, download)))
    });
    Some(match found.await {
        Err(reply) => *reply,
        Ok(None) => return None,
        Ok(Some((_, None))) => not_found("nothing is recorded or held of that stretch of time"),
        Ok(Some((only, Some(Download { export, start, leases })))) => {
            let builder = reply(StatusCode::OK)
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", download_name(only.as_deref(), start)))
                .header(header::CACHE_CONTROL, "no-store")
                .header(header::CONTENT_SECURITY_POLICY, SANDBOX);
            finish_with(builder, context.pieces(export, None, Some(place), leases))
        }
    })
}
