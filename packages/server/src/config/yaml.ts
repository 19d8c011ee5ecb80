import { parse } from 'yaml';
import { PlatformError } from '../base/errors.ts';

export function parseYaml(source: string): unknown {
  try {
    return parse(source);
  } catch (cause) {
    throw new PlatformError('config_invalid', { detail: 'It is neither JSON nor YAML.', cause });
  }
}
