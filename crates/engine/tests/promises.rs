//! The contract suite and the model, on every engine.

mod memory {
    lakeferry_engine::engine_contract!(crate::homes::Memory::default());
}

mod fjall {
    lakeferry_engine::engine_contract!(crate::homes::Fjall::default());
}

mod wrapped_memory {
    lakeferry_engine::engine_contract!(crate::homes::Wrapped(crate::homes::Memory::default()));
}

mod wrapped_fjall {
    lakeferry_engine::engine_contract!(crate::homes::Wrapped(crate::homes::Fjall::default()));
}

mod beside_a_model {
    use lakeferry_engine::testing::model;

    use crate::homes::{Faulty, Fjall, Memory};

    /// A seed from the environment, to do a failure again, or a new one.
    #[expect(clippy::print_stderr, reason = "a test shows it when it fails")]
    fn seed() -> u64 {
        let seed = std::env::var("ENGINE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(rand::random);
        eprintln!("ENGINE_SEED={seed}");
        seed
    }

    #[tokio::test]
    async fn memory_does_what_the_model_does() {
        model::run(&Memory::default(), seed(), 2_000).await;
    }

    #[tokio::test]
    async fn fjall_does_what_the_model_does() {
        model::run(&Fjall::default(), seed(), 1_500).await;
    }

    #[tokio::test]
    async fn memory_with_faults_is_before_or_after_each_write() {
        model::run(&Faulty(Memory::default()), seed(), 2_000).await;
    }

    #[tokio::test]
    async fn fjall_with_faults_is_before_or_after_each_write() {
        model::run(&Faulty(Fjall::default()), seed(), 1_000).await;
    }
}
