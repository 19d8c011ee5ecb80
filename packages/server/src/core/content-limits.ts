/** Bounds on what clients give into keeping. */
export interface ContentLimits {
  /** Of one uploaded file. */
  readonly maxUploadBytes: number;
  /** Of one version of a skill, unpacked. */
  readonly maxSkillBytes: number;
}
