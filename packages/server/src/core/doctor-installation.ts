/**
 * The installation that all sandboxes of `cloister doctor --attack` belong to: they are never taken for a server's own,
 * and what one attack left behind the next one removes.
 */
export const DOCTOR_INSTALLATION = 'cloister-doctor-attack';
