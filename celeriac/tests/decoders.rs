//! Decoders read or refuse whatever they are given, and what they read
//! survives being written. The long run is `examples/fuzz_decoders.rs`.

use celeriac::value::{Serializer, to_value};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Map, Value};

#[path = "../../fuzz/decoders.rs"]
mod decoders;
#[path = "../../fuzz/mutate.rs"]
mod mutate;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|real| to_value(&real).unwrap_or_default()),
        any::<i128>().prop_map(|whole| to_value(&whole).unwrap_or_default()),
        any::<String>().prop_map(Value::from),
        "[-+0-9_.:eExTZ ~y=<]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..8)
                .prop_map(|entries| Value::from(Map::from_iter(entries))),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_survives_every_serializer(value in any_value()) {
        for serializer in [Serializer::Json, Serializer::Msgpack, Serializer::Yaml] {
            // msgpack has no integers beyond 64 bits.
            prop_assert!(serializer.check(&value).is_ok() || serializer == Serializer::Msgpack);
            decoders::survives(serializer, &value);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..256)) {
        decoders::ALL.iter().for_each(|decoder| decoder.run(&data));
    }

    #[test]
    fn harmed_messages_are_read_or_refused(seed in any::<u64>()) {
        let mut rng = StdRng::seed_from_u64(seed);
        for decoder in decoders::ALL {
            decoder.run(&mutate::mutated(&mut rng, &decoder.seeds()));
        }
    }
}
