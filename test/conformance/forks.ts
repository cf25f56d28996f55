/** The forks that cases name, and which of them are ours. */

/** Forks whose state transition our VM runs, by the name that suites give them. */
const STATE_FORKS: Readonly<Record<string, string>> = { Cancun: 'cancun', Prague: 'prague', Osaka: 'osaka' }

/** Older forks, whose transactions our codec reads by the rules of their day. */
const OLDER_FORKS: Readonly<Record<string, string>> = {
  Frontier: 'chainstart',
  Homestead: 'homestead',
  EIP150: 'tangerineWhistle',
  EIP158: 'spuriousDragon',
  Byzantium: 'byzantium',
  Constantinople: 'constantinople',
  ConstantinopleFix: 'petersburg',
  Istanbul: 'istanbul',
  Berlin: 'berlin',
  London: 'london',
  Paris: 'paris',
  Merge: 'paris',
  Shanghai: 'shanghai',
}

/** The library's name of a fork that our VM runs; undefined for others. */
export function hardforkOf(fork: string): string | undefined {
  return STATE_FORKS[fork]
}

/** The library's name of any fork whose transactions can be read. */
export function txHardforkOf(fork: string): string | undefined {
  return STATE_FORKS[fork] ?? OLDER_FORKS[fork]
}
