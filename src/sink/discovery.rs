//! How pictures are announced to Home Assistant, as a camera or an image (home-assistant.io/integrations/mqtt). It sends nothing.

use serde_json::json;

use crate::{format::Media, mqtt::TopicPrefix};

/// What Home Assistant makes of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscoveredAs {
    /// A camera: the newest picture, in place of a video.
    Camera,
    /// An image, which has the time of its last change.
    Image,
}

/// The types that Home Assistant's page shows: browsers decode them, and they run no script.
const SHOWN: [&str; 7] = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/apng"];

impl DiscoveredAs {
    /// Whether parts of this type are announced.
    pub(super) fn shows(media: &Media) -> bool {
        SHOWN.contains(&media.essence())
    }

    fn component(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Image => "image",
        }
    }

    /// The topic for what is said about a feed.
    pub(super) fn topic(self, prefix: &TopicPrefix, name: &str) -> String {
        format!("homeassistant/{}/{}/config", self.component(), id(prefix, name))
    }

    /// What is said about a feed of pictures of this type.
    pub(super) fn config(self, prefix: &TopicPrefix, name: &str, media: &Media) -> Vec<u8> {
        let mut config = json!({
            "name": name,
            "unique_id": id(prefix, name),
            "availability": [
                { "topic": prefix.status() },
                { "topic": prefix.meta(name), "value_template": "{{ 'online' if value_json.live else 'offline' }}" },
            ],
            "availability_mode": "all",
            "device": { "identifiers": [id(prefix, "")], "name": prefix.as_str() },
            "origin": { "name": "mxr", "sw_version": env!("CARGO_PKG_VERSION") },
        });
        match self {
            Self::Camera => config["topic"] = prefix.body(name).into(),
            Self::Image => {
                config["image_topic"] = prefix.body(name).into();
                config["content_type"] = media.essence().into();
            }
        }
        config.to_string().into_bytes()
    }
}

/// The same for every run: of letters and digits alone, whatever the name is.
fn id(prefix: &TopicPrefix, name: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, prefix.body(name).as_bytes());
    let hex: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("mxr_{hex}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_name_of_any_letters_is_announced_field_by_field_under_an_id_of_plain_ones() {
        let prefix = TopicPrefix::new("home/mxr").unwrap();
        let (name, png) = ("Garaż 2.5", Media::from_known("image/png"));
        let topic = DiscoveredAs::Camera.topic(&prefix, name);
        let id = topic.strip_prefix("homeassistant/camera/").and_then(|rest| rest.strip_suffix("/config")).unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')), "{id}");
        let expected = |id: &str, device: &Value| {
            json!({
                "name": "Garaż 2.5",
                "unique_id": id,
                "topic": "home/mxr/Garaż 2.5",
                "availability": [
                    { "topic": "home/mxr/status" },
                    {
                        "topic": "home/mxr/Garaż 2.5/meta",
                        "value_template": "{{ 'online' if value_json.live else 'offline' }}",
                    },
                ],
                "availability_mode": "all",
                "device": { "identifiers": [device], "name": "home/mxr" },
                "origin": { "name": "mxr", "sw_version": env!("CARGO_PKG_VERSION") },
            })
        };
        let camera: Value = serde_json::from_slice(&DiscoveredAs::Camera.config(&prefix, name, &png)).unwrap();
        let device = &camera["device"]["identifiers"][0];
        assert_eq!(camera, expected(id, device));
        let image: Value = serde_json::from_slice(&DiscoveredAs::Image.config(&prefix, name, &png)).unwrap();
        let mut expected = expected(id, device);
        expected.as_object_mut().unwrap().remove("topic");
        expected["image_topic"] = json!("home/mxr/Garaż 2.5");
        expected["content_type"] = json!("image/png");
        assert_eq!(image, expected);
        assert_eq!(DiscoveredAs::Image.topic(&prefix, name), format!("homeassistant/image/{id}/config"));
        let other = TopicPrefix::new("other").unwrap();
        assert!(DiscoveredAs::Camera.topic(&other, name) != topic && DiscoveredAs::Camera.topic(&prefix, "Garaż 2_5") != topic);
    }

    #[test]
    fn text_and_svg_are_not_announced() {
        let shows = |media: &str| DiscoveredAs::shows(&Media::from_known(media));
        assert!(shows("image/jpeg") && shows("image/webp"));
        assert!(
            !shows("image/svg+xml") && !shows("text/plain; charset=utf-8") && !shows("application/pdf") && !shows("image/tiff")
        );
    }
}
