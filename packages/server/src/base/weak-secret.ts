/** Values from documentation, examples and habit, which somebody leaves in place: no secret is one of them. */
const DEFAULTS =
  /^(?:(?:your|my|the|a|an|test|example|sample|dummy|default)[-_ ]?)*(?:changeme|change[-_ ]?(?:me|this)|password|passw0rd|secret|admin|token|key|api[-_ ]?key|(?:api[-_ ]?)?key[-_ ]?here|placeholder|default|example|test|dummy|foo|bar|none|null|undefined|todo|xxx+|redacted|<.*>|\.{3,}|\*+)(?:[-_ ]?(?:here|value|123|1234|12345|123456))*$/i;

/** Why the text is no secret to rely on, as the end of a sentence about it; undefined when nothing speaks against it. */
export function weaknessOf(secret: string, minLength: number): string | undefined {
  const bare = secret.trim();
  if (bare.length < minLength) return `it has ${bare.length} characters, and ${minLength} are the least`;
  if (DEFAULTS.test(bare)) return 'it is a value from an example';
  if (new Set(bare).size < Math.min(5, minLength)) return 'it repeats a few characters';
  const bytes = Buffer.from(bare);
  if (isRow(bytes)) return 'its characters follow each other in order';
  return undefined;
}

/** Whether each byte is the one before plus the same step, as in `abcdef` or `00000`. */
export function isRow(bytes: Uint8Array): boolean {
  const step = ((bytes[1] ?? 0) - (bytes[0] ?? 0) + 256) % 256;
  return bytes.every((byte, index) => index === 0 || (byte - (bytes[index - 1] ?? 0) + 256) % 256 === step);
}
