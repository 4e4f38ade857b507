// Constants that `digits-edge export --target web` inserts into service-worker.js.

declare const DIGEST: string;
declare const FILES: string[];
