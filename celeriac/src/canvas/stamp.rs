//! Stamps: marks that travel with every part of a canvas
//! (`celery.canvas.Signature.stamp`).

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Canvas, Signature};

impl Signature {
    /// Stamps it, all that it is composed of, its callbacks and its errbacks.
    /// A stamp of that name that a part has already stays. As
    /// `stamp(name=value)`.
    #[must_use]
    pub fn stamp(mut self, name: &str, value: impl Serialize) -> Self {
        if let Some(value) = self.fit(value, || format!("stamp '{name}'")) {
            self.add_stamp(name, &value);
        }
        self
    }

    fn add_stamp(&mut self, name: &str, value: &Value) {
        let options = &mut self.options;
        let names = options.stamped_headers.get_or_insert_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
            options.extra.insert(name.to_owned(), value.clone());
        }
        let links = options.link.iter_mut().chain(&mut options.link_error);
        let parts: &mut [Signature] = match &mut self.canvas {
            Canvas::Chain(tasks) | Canvas::Group(tasks) => tasks,
            Canvas::Chord { header, body } => {
                if let Some(body) = body {
                    body.add_stamp(name, value);
                }
                header
            }
            _ => &mut [],
        };
        for part in links.flatten().chain(parts) {
            part.add_stamp(name, value);
        }
    }

    /// Its stamps, by their names.
    pub fn stamps(&self) -> Map<String, Value> {
        self.options.stamps()
    }
}
