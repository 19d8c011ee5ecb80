import { MIN_NEEDLE } from './needles.ts';

/**
 * The forms in which a secret turns up: as it is, escaped in JSON, in a URL, in hex, and in base64 at any of the three
 * places that it can have in what is encoded (`user:secret` shifts it).
 */
export function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const url = encodeURIComponent(secret);
  const hex = bytes.toString('hex');
  const forms = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    url,
    url.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    new URLSearchParams([['', secret]]).toString().slice(1),
    encodeURI(secret),
    hex,
    hex.toUpperCase(),
    ...[0, 1, 2].flatMap((shift) => inBase64(bytes, shift)),
  ];
  return [...new Set(forms)].filter((form) => form.length >= MIN_NEEDLE);
}

/** What every base64 text shows of these bytes when `shift` bytes, and others, come before them. */
function inBase64(bytes: Buffer, shift: number): readonly string[] {
  const text = Buffer.concat([Buffer.alloc(shift), bytes])
    .toString('base64')
    .replace(/=+$/, '');
  const first = shift === 0 ? 0 : shift + 1;
  // The last character holds bits of what comes next, unless it ends a group.
  const whole = text.slice(first, Math.floor(((shift + bytes.length) * 8) / 6));
  return [whole, whole.replaceAll('+', '-').replaceAll('/', '_')];
}
