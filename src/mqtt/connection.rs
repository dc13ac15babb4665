//! One connection to a broker, at QoS 0: what is published has been taken by the kernel when it says so, and what comes is handed over in
//! order. It makes no second connection; its owner does, and subscribes anew.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, StateError,
    SubscribeNoticeError, mqttbytes,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::Broker;
use crate::{
    client::{ClientError, ClientSettings, Credentials, Dialer},
    loss::{Loss, Retry},
    sync::Mutex,
};

/// The largest packet of MQTT in bytes (3.1.1, section 2.2.3). What is too large for a feed, the feed refuses.
const LARGEST: usize = 268_435_455;
/// The silence after which a publisher sends a sign of life, in seconds. A broker gives a client up after one and a half times this, and
/// publishes its last will.
const KEEP_ALIVE: u16 = 30;
/// The same of a reader. It has no will, and an answer comes behind a message that is on its way: a large one on a slow line may take so long.
/// A broker that has vanished is noticed by the kernel.
const KEEP_ALIVE_OF_READER: u16 = 120;
/// How long one write may take, in seconds: a vanished broker is noticed by the kernel, and a slow one may take a large part slowly.
const WRITE: u64 = 3600;
/// Messages that wait for their reader; the broker waits behind them.
const WAITING: usize = 16;
/// Why a broker closes a connection that it has not accepted.
const CLOSES: &str = "does it expect TLS (mqtts://)?";
const CLOSES_AT_A_WILL: &str = "does it expect TLS (mqtts://)? Does it retain messages (retain_available of mosquitto)?";
/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// How a broker is reached.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// The broker.
    pub broker: Broker,
    /// User and password, in place of those in the URL.
    pub credentials: Option<Credentials>,
    /// TLS, a Unix socket, and the time for a connection.
    pub client: ClientSettings,
}

impl BrokerSettings {
    /// Checks what can be checked without a connection.
    ///
    /// # Errors
    /// If the file of certificates cannot be used.
    pub fn check(&self) -> crate::error::Result<()> {
        Dialer::new(self.client.clone()).map(drop)
    }

    fn known_credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref().or(self.broker.credentials())
    }
}

/// What the broker publishes, retained, once the connection is lost.
#[derive(Debug, Clone)]
pub struct LastWill {
    /// The topic.
    pub topic: String,
    /// What it is to hold.
    pub payload: &'static str,
}

/// A message of a topic.
#[derive(Debug, Clone)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The body; an empty one ends what was retained.
    pub payload: Bytes,
    /// Whether the broker had it before the subscription.
    pub is_retained: bool,
}

/// One connection to a broker.
pub struct BrokerConnection {
    client: AsyncClient,
    messages: mpsc::Receiver<Message>,
    /// Why it has ended.
    loss: Arc<Mutex<Option<Loss>>>,
    task: JoinHandle<()>,
}

impl BrokerConnection {
    /// Opens one, and waits until the broker has accepted it.
    pub(crate) async fn open(settings: &BrokerSettings, will: Option<LastWill>) -> Result<Self, Loss> {
        let will_is_set = will.is_some();
        let options = options(settings, will)?;
        let (client, mut events) = AsyncClient::builder(options.options).capacity(1).build();
        let mut network = events.network_options();
        network.set_connection_timeout(WRITE);
        events.set_network_options(network);
        let within = settings.client.connect_timeout;
        let accepted = timeout(within, events.poll()).await;
        let accepted = accepted.unwrap_or_else(|_| Err(ConnectionError::NetworkTimeout));
        if let Err(error) = accepted {
            let dialled = options.failure.lock().take();
            let is_closed = is_closed(&error);
            let is_anonymous = settings.known_credentials().is_none();
            let loss = match (dialled, error) {
                (Some(error), _) => not_dialled(error, &settings.broker),
                (None, ConnectionError::ConnectionRefused(code)) => refusal(code, is_anonymous),
                (None, error) => loss_of(error, within),
            };
            let hint = if will_is_set { CLOSES_AT_A_WILL } else { CLOSES };
            return Err(if is_closed && loss.hint.is_none() { Loss { hint: Some(hint.into()), ..loss } } else { loss });
        }
        let (sender, messages) = mpsc::channel(WAITING);
        let loss = Arc::<Mutex<Option<Loss>>>::default();
        let task = tokio::spawn(drive(events, sender, loss.clone(), within));
        Ok(Self { client, messages, loss, task })
    }

    /// Publishes a message, and waits until the kernel has taken it: what waits longer than that would grow old. What comes is to be read
    /// meanwhile. A connection that ends says why by `next` alone.
    pub(crate) fn publish(&self, topic: String, payload: Bytes, is_retained: bool) -> impl Future<Output = ()> + Send + use<> {
        let client = self.client.clone();
        async move {
            let options = PublishOptions::at_most_once().retain(is_retained);
            let Ok(notice) = client.publish_tracked(topic, payload, options).await else { return pending().await };
            match notice.wait_async().await {
                Ok(_) => {}
                Err(_) => pending().await,
            }
        }
    }

    /// Subscribes, and waits until the broker has accepted the first of these filters; the others are welcome. What is retained comes
    /// as messages, which are to be read meanwhile: the broker may send any number before it answers. A connection that ends says why
    /// by `next` alone.
    pub(crate) fn subscribe(&self, filters: Vec<String>) -> impl Future<Output = Result<(), Loss>> + Send + use<> {
        let client = self.client.clone();
        async move {
            let mut notices = Vec::new();
            for filter in &filters {
                let Ok(notice) = client.subscribe_tracked(filter, QoS::AtMostOnce).await else { return pending().await };
                notices.push(notice);
            }
            let (Some(first), Some(filter)) = (notices.into_iter().next(), filters.first()) else { return Ok(()) };
            match first.wait_completion_async().await {
                Ok(()) => Ok(()),
                Err(SubscribeNoticeError::V4SubAckFailure(_)) => {
                    let reason = format!("the broker refuses a subscription to {filter}");
                    let hint = Some("its access rules do not allow that".into());
                    Err(Loss { hint, retry: Retry::Refused, ..Loss::new(reason) })
                }
                Err(_) => pending().await,
            }
        }
    }

    /// Subscribes no longer. The broker answers when it has taken all that was published before, and this waits for that. What comes is
    /// to be read meanwhile. A connection that ends says why by `next` alone.
    pub(crate) fn unsubscribe(&self, filter: String) -> impl Future<Output = ()> + Send + use<> {
        let client = self.client.clone();
        async move {
            let Ok(notice) = client.unsubscribe_tracked(filter).await else { return pending().await };
            match notice.wait_completion_async().await {
                Ok(()) => {}
                Err(_) => pending().await,
            }
        }
    }

    /// The next message. Nothing is lost where this is dropped before it has one.
    pub(crate) async fn next(&mut self) -> Result<Message, Loss> {
        match self.messages.recv().await {
            Some(message) => Ok(message),
            None => Err(self.ended().await),
        }
    }

    /// Says goodbye, so that the broker publishes no last will.
    pub(crate) async fn close(mut self) {
        self.messages.close();
        if timeout(GOODBYE, self.client.disconnect()).await.is_ok_and(|sent| sent.is_ok()) {
            let _ = timeout(GOODBYE, &mut self.task).await;
        }
    }

    /// Why it has ended.
    async fn ended(&self) -> Loss {
        // The task writes the reason before it ends, and what it has held fails a moment earlier.
        while !self.task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.loss.lock().take().unwrap_or_else(|| Loss::new("the broker has closed the connection"))
    }
}

impl Drop for BrokerConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for BrokerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerConnection")
    }
}

/// Options, with the place where a failure to connect is put: the crate would keep its words alone.
struct DialOptions {
    options: MqttOptions,
    failure: Arc<Mutex<Option<ClientError>>>,
}

fn options(settings: &BrokerSettings, will: Option<LastWill>) -> Result<DialOptions, Loss> {
    let BrokerSettings { broker, client, .. } = settings;
    let mut options = MqttOptions::new(client_id(), (broker.host(), broker.target().port()));
    let keep_alive = if will.is_some() { KEEP_ALIVE } else { KEEP_ALIVE_OF_READER };
    options.set_keep_alive(keep_alive).set_max_packet_size(LARGEST, LARGEST).set_clean_session(true).set_max_request_batch(1);
    if let Some(credentials) = settings.known_credentials() {
        match credentials.password() {
            "" => options.set_username(credentials.user()),
            password => options.set_credentials(credentials.user(), password.to_owned()),
        };
    }
    if let Some(LastWill { topic, payload }) = will {
        options.set_last_will(rumqttc::LastWill::new(topic, payload, QoS::AtMostOnce, true));
    }
    let dialer = Dialer::new(client.clone()).map_err(|error| Loss::new(error.sentence()))?;
    let (dialer, target) = (Arc::new(tokio::sync::Mutex::new(dialer)), broker.target().clone());
    let failure = Arc::<Mutex<Option<ClientError>>>::default();
    let told = failure.clone();
    options.set_socket_connector(move |_, _| {
        let (dialer, target, told) = (dialer.clone(), target.clone(), told.clone());
        async move {
            dialer.lock().await.open(&target).await.map_err(|error| {
                let text = error.to_string();
                *told.lock() = Some(error);
                std::io::Error::other(text)
            })
        }
    });
    Ok(DialOptions { options, failure })
}

/// Why there is no connection, with the URL that the user knows.
fn not_dialled(error: ClientError, broker: &Broker) -> Loss {
    let is_of_tls = matches!(error, ClientError::Tls { .. });
    let mut loss = Loss::from(error);
    let asked = broker.target().to_string();
    // The words are for servers of HTTP.
    if is_of_tls && loss.hint.as_ref().is_some_and(|hint| hint.contains("http://")) {
        loss.hint = Some("is it a port without TLS? That is for mqtt://".into());
    }
    Loss { reason: loss.reason.replace(asked.trim_end_matches('/'), &broker.to_string()), ..loss }
}

/// A name that no other client has: two of one name throw each other out. Each broker has to take 23 letters and digits (3.1.1,
/// section 3.1.3.1).
fn client_id() -> String {
    format!("mxr{:016x}", rand::random::<u64>())
}

/// Keeps the connection going until it ends.
async fn drive(mut events: EventLoop, sender: mpsc::Sender<Message>, loss: Arc<Mutex<Option<Loss>>>, within: Duration) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else { continue };
                let message = Message { topic, payload: publish.payload, is_retained: publish.retain };
                // Nobody reads them where one only publishes, and at the end.
                let _ = sender.send(message).await;
            }
            Ok(_) => {}
            Err(error) => {
                *loss.lock() = Some(loss_of(error, within));
                return;
            }
        }
    }
}

/// Whether the other side has ended the connection.
fn is_closed(error: &ConnectionError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::Io(error)
        | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error))) => {
            matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
        }
        _ => false,
    }
}

/// Why a broker does not accept a connection, in words.
fn refusal(code: ConnectReturnCode, is_anonymous: bool) -> Loss {
    let refused = |reason: &str, hint: &'static str| Loss { hint: Some(hint.into()), retry: Retry::Refused, ..Loss::new(reason) };
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => match is_anonymous {
            true => refused(
                "the broker wants a user and a password",
                "--upstream-auth-file FILE has a line USER:PASSWORD; in the URL, mqtt://USER:PASSWORD@HOST/, other users see it",
            ),
            false => refused("the broker refuses the user and password", "or the user may not connect from here"),
        },
        ConnectReturnCode::RefusedProtocolVersion => refused("the broker does not speak MQTT 3.1.1", "mxr speaks no other"),
        ConnectReturnCode::BadClientId => refused("the broker refuses the name of the client", "mxr chooses a random one"),
        _ => Loss::new("the broker is not available"),
    }
}

/// Why a broker is lost, in words.
fn loss_of(error: ConnectionError, within: Duration) -> Loss {
    let within = humantime::format_duration(within);
    match error {
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            Loss { hint: Some("is it a broker for MQTT?".into()), ..Loss::new(format!("no answer for {within}")) }
        }
        ConnectionError::Io(error)
        | ConnectionError::MqttState(StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error))) => {
            match error.kind() {
                // Of tokio's codec, for a message that breaks off.
                std::io::ErrorKind::Other => Loss::new("the broker has closed the connection in the middle of a message"),
                _ => Loss::new(error.to_string()),
            }
        }
        ConnectionError::RequestsDone | ConnectionError::MqttState(StateError::ConnectionAborted) => {
            Loss::new("the broker has closed the connection")
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => Loss::new("the broker is silent"),
        ConnectionError::NotConnAck(_) | ConnectionError::MqttState(StateError::Deserialization(_)) => {
            Loss { hint: Some("is it a broker for MQTT?".into()), ..Loss::new("what answers does not speak MQTT") }
        }
        other => Loss::new(other.to_string()),
    }
}
