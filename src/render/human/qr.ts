/** The one place that knows uqr. Loaded only where somebody may be asked to open an address. */
import { encode } from "uqr";
import type { Qr } from "./look.ts";

export const qr: Qr = (text) => encode(text, { ecc: "L", border: 0 }).data;
