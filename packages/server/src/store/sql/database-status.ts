/** What `cloister db status` says of a database. */
export interface DatabaseStatus {
  readonly store: 'sqlite' | 'postgres';
  /** The file, or host and database; never a password. */
  readonly place: string;
  /** 0 for a database in which nothing was made yet. */
  readonly version: number;
  /** Names of the steps that are still to be made. */
  readonly pending: readonly string[];
  readonly sizeBytes: number;
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
}
