// The part of ONNX Runtime Web's interface that engine.js uses.

export const env: { wasm: { numThreads: number; wasmPaths: string } };

export class Tensor {
  constructor(type: "uint8", data: Uint8Array, dims: number[]);
  readonly data: Float32Array;
  readonly dims: number[];
}

export class InferenceSession {
  static create(model: Uint8Array): Promise<InferenceSession>;
  run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
}
