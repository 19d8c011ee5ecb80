import { formsOf } from '../base/redaction/forms.ts';

/** What goes into a request, and what must not come back with the answer. */
export interface InjectedCredential {
  /** In lower case. */
  readonly header: string;
  readonly value: string;
  /** The forms of the secret that are taken out of answers. */
  readonly secrets: readonly string[];
}

/** With a username the header is of the scheme Basic, whatever the template. */
export function injectedCredential(input: {
  readonly header: string;
  readonly template: string;
  readonly username: string | null;
  readonly secret: string;
}): InjectedCredential {
  const { header, template, username, secret } = input;
  const basic = username === null ? undefined : Buffer.from(`${username}:${secret}`).toString('base64');
  const value = basic === undefined ? template.replaceAll('{secret}', () => secret) : `Basic ${basic}`;
  const secrets = [secret, ...(basic === undefined ? [] : [basic]), ...formsOf(secret)];
  return { header: header.toLowerCase(), value, secrets: [...new Set(secrets)] };
}
