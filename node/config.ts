/**
 * What an operator may set: the commands, their options, where a value may come from, and the help that is printed. Parsed once, frozen, passed
 * down. A value is taken from the flag, else from the environment (`--rpc-port` is TRIBUTARY_RPC_PORT), else from the file that `--config` names
 * (JSON, `{"rpc-port": 8545}`), else the default.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

type Kind = 'string' | 'integer' | 'flag'
type Option = {
  readonly kind: Kind
  readonly default?: string | number | boolean
  readonly help: string
  /** The one place where it may come from: what must not stand on a command line, where every user of the machine reads it. */
  readonly from?: 'environment'
  /** The value of an option that is given without one. */
  readonly bare?: string
}
type Options = Readonly<Record<string, Option>>

type ValueOf<O extends Option> = O['kind'] extends 'integer'
  ? O extends { readonly default: number }
    ? number
    : number | undefined
  : O['kind'] extends 'flag'
    ? boolean
    : O extends { readonly default: string }
      ? string
      : string | undefined

/** The parsed options of a command, by their names without dashes. */
export type ConfigOf<C extends keyof typeof COMMANDS> = {
  readonly [N in keyof (typeof COMMANDS)[C]['options']]: ValueOf<(typeof COMMANDS)[C]['options'][N] & Option>
}

const COMMON = {
  json: { kind: 'flag', help: 'print JSON lines for machines' },
  'log-level': { kind: 'string', default: 'info', help: 'debug, info, warn or error (to stderr)' },
  config: { kind: 'string', help: 'file with options as JSON' },
  help: { kind: 'flag', help: 'print this' },
} as const satisfies Options

const RPC = {
  'rpc-host': { kind: 'string', default: '127.0.0.1', help: 'address on which JSON-RPC listens' },
  'rpc-port': { kind: 'integer', default: 8545, help: 'port of JSON-RPC over HTTP and WebSocket; 0: any free one' },
  'rpc-hosts': { kind: 'string', default: '', help: 'names, separated by commas, by which clients may call it besides localhost; *: any' },
  'rpc-proxies': {
    kind: 'string',
    default: '',
    help: 'addresses of reverse proxies, separated by commas, whose X-Forwarded-For says who asks',
  },
  'rpc-origins': { kind: 'string', default: '', help: 'origins of web pages that may read answers, separated by commas; *: any' },
} as const satisfies Options

/** What explorers ask (ots_…) and others do not; see docs/decisions/044-an-index-of-addresses.md. */
const addressIndex = (byDefault: 'on' | 'off') =>
  ({
    'address-index': {
      kind: 'string',
      default: byDefault,
      bare: 'on',
      help: 'on or off: whether it knows which transactions touch which addresses, as block explorers ask (ots_…)',
    },
  }) as const satisfies Options

const METRICS = {
  'metrics-host': { kind: 'string', default: '127.0.0.1', help: 'address on which numbers for Prometheus are served' },
  'metrics-port': { kind: 'integer', help: 'port of GET /metrics; 0: any free one; without it nothing is served' },
} as const satisfies Options

const L1 = {
  beacon: {
    kind: 'string',
    help: 'beacon APIs that serve blobs, separated by commas, asked in this order; default: the L1 endpoint itself',
  },
  inbox: { kind: 'string', help: "address of the batch inbox, needed where an L1 carries several rollups' genesis files" },
} as const satisfies Options

const POSTING = {
  da: { kind: 'string', default: 'auto', help: 'how batches are posted: blob, calldata, auto: as is cheaper, or none: not at all' },
  'batch-sec': { kind: 'integer', default: 6, help: 'seconds after which what is unposted is posted' },
  'checkpoint-sec': {
    kind: 'integer',
    help: 'seconds between checkpoints; default: what the window of the EVM asks for, and after each batch where that is short',
  },
} as const satisfies Options

const ROLLUP = {
  rpc: { kind: 'string', default: 'http://127.0.0.1:8545', help: 'JSON-RPC of a node of the network' },
} as const satisfies Options

const ROLLUP_L1 = {
  l1: { kind: 'string', help: 'URL of the L1 node; default: what the node tells' },
} as const satisfies Options

const KEYSTORE = {
  'password-file': {
    kind: 'string',
    help: 'file with the password of validator.keystore.json; without it and TRIBUTARY_PASSWORD it is asked for',
  },
  password: { kind: 'string', from: 'environment', help: 'the password itself' },
} as const satisfies Options

/** Every command. */
export const COMMANDS = {
  devnet: {
    summary: 'a whole network on this machine: a local Ethereum, its contracts, a validator with everything on',
    options: {
      ...RPC,
      ...addressIndex('on'),
      'data-dir': {
        kind: 'string',
        help: 'where the network lives; started again there it goes on. Default: a temporary folder, removed at the end',
      },
      l1: { kind: 'string', help: 'an L1 that runs already, with funded development accounts; default: anvil is started' },
      validators: {
        kind: 'integer',
        default: 1,
        bare: '4',
        help: 'validators, each a process of its own; without a number 4. A folder keeps the number it was begun with',
      },
      'epoch-blocks': {
        kind: 'integer',
        default: 0,
        help: 'blocks after which who joined or left on L1 does so here; 0: never. A folder keeps the number it was begun with',
      },
      'l1-port': { kind: 'integer', default: 0, help: 'port of the L1 that is started; 0: any free one' },
      'l1-block-sec': { kind: 'integer', default: 1, help: 'seconds between blocks of the L1 that is started' },
      'p2p-host': { kind: 'string', default: '127.0.0.1', help: 'IP address on which other nodes are met' },
      'p2p-port': { kind: 'integer', default: 0, help: 'TCP port on which other nodes are met; 0: any free one' },
      ...METRICS,
      ...POSTING,
      ...COMMON,
    },
  },
  node: {
    summary: 'a node of a network that is on L1 already: a validator if its folder holds a key, else a follower',
    options: {
      l1: { kind: 'string', help: 'URL of the L1 node (required)' },
      'data-dir': { kind: 'string', help: 'where the chain and the keys live (required)' },
      'poster-key': { kind: 'string', help: 'file with the key of the account that posts batches; without it none are posted' },
      'submitter-key': {
        kind: 'string',
        help: 'file with the key of the account that submits checkpoints, opens epochs on L1 and brings evidence',
      },
      'challenger-key': {
        kind: 'string',
        help: 'file with the key of an account of its own that makes wrong checkpoints fall; without it none is judged',
      },
      ...KEYSTORE,
      signer: { kind: 'string', help: 'the signer that holds the key: http://127.0.0.1:9700, unix:/path/of/socket or https://HOST' },
      'signer-token-file': { kind: 'string', help: 'file with the token that the signer wants' },
      bootstrap: {
        kind: 'string',
        help: 'multiaddrs of peers, separated by commas: whom a follower asks for blocks, and the other validators',
      },
      'end-with-stdin': { kind: 'flag', help: 'end when standard input ends: for who starts it as a child' },
      'p2p-host': { kind: 'string', default: '0.0.0.0', help: 'IP address on which other nodes are met' },
      'p2p-port': { kind: 'integer', default: 9600, help: 'TCP port on which other nodes are met; 0: any free one' },
      ...L1,
      ...RPC,
      ...addressIndex('off'),
      ...METRICS,
      ...POSTING,
      ...COMMON,
    },
  },
  keys: {
    summary: "a validator's key under a password: tributary keys new, keys import FILE, keys show",
    options: {
      'data-dir': { kind: 'string', help: 'where validator.keystore.json lies or shall lie (required)' },
      owner: { kind: 'string', help: 'address that registers the key on L1: possession is proved for it' },
      'chain-id': { kind: 'integer', help: 'chain for which possession is proved; default: of genesis.json in the data folder' },
      kdf: { kind: 'string', default: 'scrypt', help: 'how guessing the password is made dear: scrypt or pbkdf2' },
      ...KEYSTORE,
      ...COMMON,
    },
  },
  signer: {
    summary: "holds a validator's key and signs for nodes what its own guard allows",
    options: {
      'data-dir': { kind: 'string', help: "where the validator's key and the signer's guard lie (required)" },
      'chain-id': { kind: 'integer', help: 'chain for which it signs; default: of genesis.json in the data folder' },
      listen: { kind: 'string', default: 'http://127.0.0.1:9700', help: 'where nodes ask: http on this machine, or unix:/path/of/socket' },
      'token-file': {
        kind: 'string',
        help: 'file with the token that nodes must know; default: signer.token in the data folder, made if missing',
      },
      'above-height': {
        kind: 'integer',
        help: 'for a key that has signed elsewhere: sign nothing up to this height; once, at the first start',
      },
      ...KEYSTORE,
      ...COMMON,
    },
  },
  verify: {
    summary: 'rebuild every block from L1 alone and compare hashes and roots',
    options: {
      l1: { kind: 'string', help: 'URL of the L1 node (required)' },
      rpc: { kind: 'string', help: 'JSON-RPC of a node whose blocks are compared, too' },
      challenge: { kind: 'flag', help: 'go on without end, and make each checkpoint fall that is wrong; needs --challenger-key' },
      'challenger-key': { kind: 'string', help: 'file with the key of the L1 account that challenges, and is paid for it' },
      'data-dir': { kind: 'string', help: 'with --challenge: where the rebuilt chain is kept over a restart. Default: a temporary folder' },
      ...METRICS,
      ...L1,
      ...COMMON,
    },
  },
  demo: {
    summary: 'play the whole loop against a running devnet: data, model, worker, receipts, credit, claims, rebuild',
    options: { rpc: { kind: 'string', default: 'http://127.0.0.1:8545', help: 'JSON-RPC of the devnet' }, ...COMMON },
  },
  deposit: {
    summary: 'bring OPEN from L1 to a ledger balance, a prepaid one, or the EVM side, and wait until it is there',
    options: {
      ...ROLLUP,
      ...ROLLUP_L1,
      'key-file': { kind: 'string', help: 'file with the key of the L1 account that pays (required)' },
      amount: { kind: 'string', help: 'how much, in OPEN, as 12.5 (required)' },
      to: { kind: 'string', help: 'who gets it; default: the same account' },
      as: { kind: 'string', default: 'ledger', help: 'what it becomes: ledger, prepaid or evm' },
      ...COMMON,
    },
  },
  withdraw: {
    summary: 'take OPEN out of the rollup, of a ledger balance or the EVM side; tributary prove has L1 pay it',
    options: {
      ...ROLLUP,
      'key-file': { kind: 'string', help: 'file with the key of the account that withdraws (required)' },
      amount: { kind: 'string', help: 'how much, in OPEN, as 12.5 (required)' },
      to: { kind: 'string', help: 'who is paid on L1; default: the same account' },
      from: { kind: 'string', default: 'ledger', help: 'where it is taken: ledger or evm' },
      ...COMMON,
    },
  },
  prove: {
    summary: 'have L1 pay a withdrawal by its proof against a mature checkpoint, or say when it will be mature',
    options: {
      ...ROLLUP,
      ...ROLLUP_L1,
      'key-file': { kind: 'string', help: 'file with the key of the L1 account that pays the gas (required)' },
      withdrawal: { kind: 'integer', help: 'number of the withdrawal; or' },
      tx: { kind: 'string', help: 'hash of the transaction on the rollup that withdrew' },
      checkpoint: { kind: 'integer', help: 'number of the checkpoint to prove it by; default: the first that has it' },
      wait: { kind: 'integer', default: 0, help: 'seconds to wait for what is not mature yet' },
      ...COMMON,
    },
  },
  status: {
    summary: 'where the network stands on L1, or how far a transaction, a deposit or a withdrawal has come',
    options: {
      ...ROLLUP,
      ...ROLLUP_L1,
      tx: { kind: 'string', help: 'hash of a transaction on the rollup' },
      deposit: { kind: 'integer', help: "number of a deposit in the portal's queue, from 0" },
      withdrawal: { kind: 'integer', help: 'number of a withdrawal, from 1' },
      ...COMMON,
    },
  },
  bench: {
    summary: 'measure: tributary bench NAME (without a name: the list)',
    options: { ...COMMON },
  },
  genesis: {
    summary: 'check a genesis file and print its block: tributary genesis FILE',
    options: { ...COMMON },
  },
} as const satisfies Readonly<Record<string, { readonly summary: string; readonly options: Options }>>

export type CommandName = keyof typeof COMMANDS

/** Somebody typed what we do not understand: the message says what and what would be right. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly retryable = false
}

export type Parsed<C extends CommandName> = { readonly config: ConfigOf<C>; readonly rest: readonly string[] }

/** How JSON-RPC is served, as the options say. */
export function rpcOptions(config: Pick<ConfigOf<'node'>, keyof typeof RPC>) {
  const list = (text: string) => text.split(',').filter((item) => item !== '')
  return {
    host: config['rpc-host'],
    port: config['rpc-port'],
    allowedHosts: list(config['rpc-hosts']),
    allowedOrigins: list(config['rpc-origins']),
    trustedProxies: list(config['rpc-proxies']),
  }
}

/** Whether an index of addresses is kept, as the options say. Throws UsageError. */
export function addressIndexOption({ 'address-index': word }: Pick<ConfigOf<'node'>, 'address-index'>): boolean {
  if (word !== 'on' && word !== 'off') throw new UsageError(`--address-index is on or off, not ${word}`)
  return word === 'on'
}

/** Where numbers are served, as the options say; undefined: nowhere. */
export function metricsOptions(config: Pick<ConfigOf<'node'>, keyof typeof METRICS>) {
  const { 'metrics-host': host, 'metrics-port': port } = config
  return port === undefined ? undefined : { host, port }
}

/** How batches are posted, as the options say; undefined: by none of this node. Throws UsageError. */
export function postingOptions(config: Pick<ConfigOf<'node'>, keyof typeof POSTING>) {
  const { da, 'batch-sec': batchSec, 'checkpoint-sec': checkpointSec } = config
  if (da === 'none') return undefined
  if (da !== 'blob' && da !== 'calldata' && da !== 'auto') throw new UsageError(`--da is blob, calldata, auto or none, not ${da}`)
  return { da, batchSec, checkpointSec } as const
}

/** Whether a word is a command. */
export function isCommand(word: string): word is CommandName {
  return Object.hasOwn(COMMANDS, word)
}

/** Parses a command's arguments. Throws UsageError. */
export function parseConfig<C extends CommandName>(
  command: C,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Parsed<C> {
  const options: Options = COMMANDS[command].options
  const { values, positionals } = parseFlags(command, options, args)
  const file = readConfigFile(values.config ?? environment.TRIBUTARY_CONFIG, options)
  const config: Record<string, string | number | boolean | undefined> = {}
  for (const [name, option] of Object.entries(options)) {
    const fromEnvironment = environment[environmentName(name)]
    config[name] =
      convert(name, option, values[name] ?? fromEnvironment ?? file[name]) ?? option.default ?? (option.kind === 'flag' ? false : undefined)
  }
  return { config: Object.freeze(config) as ConfigOf<C>, rest: positionals }
}

function environmentName(option: string): string {
  return `TRIBUTARY_${option.toUpperCase().replaceAll('-', '_')}`
}

/** The help of a command, or of all. */
export function helpText(command?: CommandName): string {
  if (command === undefined) {
    const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`)
    return `tributary COMMAND [options]\n\n${lines.join('\n')}\n\nEach command has --help.\n`
  }
  const { summary, options } = COMMANDS[command]
  const lines = Object.entries(options as Options).map(([name, option]) => {
    const value = option.kind === 'flag' ? '' : option.kind === 'integer' ? ' N' : ' TEXT'
    const standard = option.default === undefined ? '' : ` (${option.default})`
    const label = option.from === undefined ? `--${name}${value}` : environmentName(name)
    return `  ${label.padEnd(22)} ${option.help}${standard}`
  })
  const elsewhere = 'Every option can also be set in the environment (--rpc-port is TRIBUTARY_RPC_PORT) or in the --config file.'
  return `tributary ${command}: ${summary}\n\n${lines.join('\n')}\n\n${elsewhere}\n`
}

function parseFlags(
  command: string,
  options: Options,
  args: readonly string[],
): { values: Record<string, string | undefined>; positionals: string[] } {
  const flags = Object.fromEntries(
    Object.entries(options)
      .filter(([, { from }]) => from === undefined)
      .map(([name, { kind }]) => [name, { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) }]),
  )
  // An option that may stand without a value gets it here, which parseArgs cannot do.
  const whole = args.flatMap((arg, i) => {
    const bare = arg.startsWith('--') ? options[arg.slice(2)]?.bare : undefined
    return bare !== undefined && (args[i + 1] ?? '--').startsWith('--') ? [arg, bare] : [arg]
  })
  try {
    const { values, positionals } = parseArgs({ args: whole, options: flags, allowPositionals: true, strict: true })
    return { values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)])), positionals }
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\nSee tributary ${command} --help.`)
  }
}

function readConfigFile(path: string | undefined, options: Options): Readonly<Record<string, string | undefined>> {
  if (path === undefined) return {}
  let content: unknown
  try {
    content = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`the config file ${path} cannot be read as JSON: ${error instanceof Error ? error.message : error}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new UsageError(`the config file ${path} must hold an object`)
  const unknown = Object.keys(content).find((name) => !Object.hasOwn(options, name) || options[name]?.from !== undefined)
  if (unknown !== undefined) throw new UsageError(`the config file ${path} sets ${unknown}, which is no option`)
  return Object.fromEntries(Object.entries(content).map(([name, value]) => [name, String(value)]))
}

function convert(name: string, { kind }: Option, text: string | undefined): string | number | boolean | undefined {
  if (text === undefined) return undefined
  if (kind === 'string') return text
  if (kind === 'flag') {
    if (text === 'true' || text === '1') return true
    if (text === 'false' || text === '0') return false
    throw new UsageError(`--${name} is on or off: true or false, not ${text}`)
  }
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} takes a number, not ${text}`)
  return Number(text)
}
