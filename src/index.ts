/** What the package gives to programs: a reader of the stream, and the types of what it reads. */
export type { DataOf, Kind } from "./protocol/data.ts";
export type { StreamEvent } from "./protocol/event.ts";
export { type ReadOptions, readStream, StreamError, type StreamFault, type StreamSource } from "./reader.ts";
