/**
 * The commands: words and environment → config → run; signals → stop. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a comparison
 * found a difference, 4 too early.
 * What the commands print for machines is documented in docs/cli.md and stays as it is.
 * Each command is loaded when it is called, and not what the others are made of: of the processor time of a short one most is loading.
 */
import { readFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { type CommandName, type ConfigOf, helpText, isCommand, parseConfig, UsageError } from './config.ts'
import type { Devnet } from './devnet.ts'
import { collectAlone } from './idleMemory.ts'
import { createLog, errorFacts, type Log, type LogLevel } from './log.ts'
import type { NodeStatus } from './node.ts'
import { NICE, stepBack } from './priority.ts'

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']
const CLIENT_VERSION = `tributary/0.1.0/${process.platform}-${process.arch}/node${process.versions.node}`

/**
 * How far the heap of a node grows between two full collections, in percent of what lives. By itself the runtime lets it more than triple under load.
 * Over 20,000 mixed operations at most 693 MiB were resident then; with 100 some 540, at about the same CPU; with 30 it is 496, but an operation costs a
 * fifth more.
 */
const HEAP_GROWING_PERCENT = 100

/** Longest that taking down may last before the process ends all the same. It takes under a second, and where others have the processors ten times that. */
const CLOSE_MAX_MS = 30_000

type Environment = Readonly<Record<string, string | undefined>>

/** Runs the command that the words are; answers the exit code. What goes wrong is said on stderr. */
export async function runCommand([word, ...args]: readonly string[], environment: Environment): Promise<number> {
  if (word === undefined || word === '--help' || word === '-h' || word === 'help') {
    process.stdout.write(helpText())
    return word === undefined ? 2 : 0
  }
  try {
    if (!isCommand(word)) throw new UsageError(`there is no command ${word}\n\n${helpText()}`)
    if (args.includes('--help') || args.includes('-h')) {
      process.stdout.write(helpText(word))
      return 0
    }
    return await run(word, args, environment)
  } catch (error) {
    process.stderr.write(`tributary: ${error instanceof UsageError ? error.message : errorFacts(error).error}\n`)
    if (error instanceof Error && error.cause !== undefined) process.stderr.write(`  because: ${errorFacts(error.cause).error}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

async function run(command: CommandName, args: readonly string[], environment: Environment): Promise<number> {
  switch (command) {
    case 'devnet': {
      const { config } = parseConfig('devnet', args, environment)
      return runDevnet(config)
    }
    case 'node': {
      const { config } = parseConfig('node', args, environment)
      const log = openLog(config)
      const { startOperatorNode } = await import('./operatorNode.ts')
      return untilStopped(
        config,
        (onFatal) => startOperatorNode({ config, clientVersion: CLIENT_VERSION, log, onFatal }),
        (node) => ({
          ready: { ready: true, rpc: node.rpcUrl, ws: node.wsUrl, metrics: node.metricsUrl, l1: config.l1, p2p: node.p2p.join(',') },
          status: () => node.status(),
          close: () => node.close(),
        }),
      )
    }
    case 'keys': {
      const { config, rest } = parseConfig('keys', args, environment)
      const { runKeys } = await import('./keysCommand.ts')
      return runKeys(rest, config, print)
    }
    case 'signer': {
      const { config } = parseConfig('signer', args, environment)
      const log = openLog(config)
      const { startSigner } = await import('./signerCommand.ts')
      return untilStopped(
        config,
        (onFatal) => startSigner({ config, log, onFatal }),
        ({ close, ...facts }) => ({ ready: { ready: true, ...facts }, close }),
      )
    }
    case 'verify':
      return verify(parseConfig('verify', args, environment).config)
    case 'demo':
      return (await import('./demo.ts')).runDemo(parseConfig('demo', args, environment).config, print)
    case 'deposit':
      return (await import('./depositCommand.ts')).runDeposit(parseConfig('deposit', args, environment).config, print)
    case 'withdraw':
      return (await import('./withdrawCommand.ts')).runWithdraw(parseConfig('withdraw', args, environment).config, print)
    case 'prove':
      return (await import('./proveCommand.ts')).runProve(parseConfig('prove', args, environment).config, print)
    case 'status':
      return (await import('./statusCommand.ts')).runStatus(parseConfig('status', args, environment).config, print)
    case 'bench': {
      const { config, rest } = parseConfig('bench', args, environment)
      const { runBench } = await import('./bench.ts')
      return runBench(rest, config, print)
    }
    case 'genesis': {
      const { config, rest } = parseConfig('genesis', args, environment)
      return runGenesis(rest, config)
    }
  }
}

async function verify(config: ConfigOf<'verify'>): Promise<number> {
  if (!config.challenge) return (await import('./verify.ts')).runVerify(config, print)
  const log = openLog(config)
  const { startChallenge } = await import('./challengeCommand.ts')
  const report = config.json ? (line: object) => print(`${toJsonLine(line)}\n`) : () => {}
  let isWrong = () => false
  const code = await untilStopped(
    config,
    async (onFatal) => {
      const challenge = await startChallenge({ config, log, report, onFatal })
      isWrong = () => {
        const { wrong, matured, misjudged } = challenge.status()
        return wrong + matured + misjudged > 0
      }
      return challenge
    },
    ({ account, fraudVerifier, metricsUrl, close }) => ({
      ready: { ready: true, account, fraudVerifier, metrics: metricsUrl, l1: config.l1 },
      close,
    }),
  )
  return code === 0 && isWrong() ? 3 : code
}

function toJsonLine(line: object): string {
  return JSON.stringify(line, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
}

async function runDevnet(config: ConfigOf<'devnet'>): Promise<number> {
  const log = openLog(config)
  const { startDevnet } = await import('./devnet.ts')
  return untilStopped(
    config,
    (onFatal) => startDevnet({ config, clientVersion: CLIENT_VERSION, log, onFatal }),
    (devnet) => {
      if (!config.json) print(devnetText(devnet))
      return {
        ready: {
          ready: true,
          rpc: devnet.node.rpcUrl,
          ws: devnet.node.wsUrl,
          metrics: devnet.node.metricsUrl,
          l1: devnet.l1Url,
          p2p: devnet.node.p2p.join(','),
          chainId: devnet.genesis.params.chainId,
          accounts: devnet.accounts,
          contracts: contractsOf(devnet),
          dataDir: devnet.dataDir,
          validators: devnet.validators,
        },
        status: () => devnet.node.status(),
        close: devnet.close,
      }
    },
  )
}

type Running = { readonly ready: object; readonly status?: () => NodeStatus; close(): Promise<void> }

/** Starts something, shows how it goes, and takes it down on a signal or when it cannot go on. */
async function untilStopped<T>(
  { json, 'end-with-stdin': endsWithStdin }: { readonly json: boolean; readonly 'end-with-stdin'?: boolean },
  start: (onFatal: (error: unknown) => void) => Promise<T>,
  describe: (started: T) => Running,
): Promise<number> {
  let stop: (code: number) => void = () => {}
  const stopped = new Promise<number>((resolve) => {
    stop = resolve
  })
  const onFatal = (error: unknown) => {
    process.stderr.write(`tributary: ${errorFacts(error).error}\n`)
    stop(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(0))
  if (endsWithStdin) process.stdin.on('close', () => stop(0)).resume()
  // Who reads what is printed may go, and it goes on: to say so would be one more thing that nobody reads, and so without end.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  process.on('uncaughtException', onFatal)
  process.on('unhandledRejection', onFatal)
  const running = describe(await start(onFatal))
  flushCompileCache() // now and not at the end, which is none in order if the process is killed
  // After it, because the next start takes no code that was compiled under other flags than its own.
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`)
  collectAlone()
  // A node, not a signer; and last, since what it has started by now is not to inherit it: the threads of consensus, the networks, the other validators.
  if (running.status) stepBack(NICE.execution)
  if (json) print(`${JSON.stringify(running.ready)}\n`)
  const endStatus = running.status ? showStatus(running.status, json) : () => {}
  const code = await stopped
  if (endsWithStdin) process.stdin.destroy() // what is read keeps a process alive
  endStatus()
  const timer = setTimeout(() => process.exit(1), CLOSE_MAX_MS)
  await running.close()
  clearTimeout(timer)
  return code
}

/** One live line in a terminal, a line a change elsewhere. */
function showStatus(status: () => NodeStatus, json: boolean): () => void {
  const live = process.stdout.isTTY === true && !json
  let last = ''
  const timer = setInterval(() => {
    const { latest, safe, finalized, postedBytes, batches, checkpoints } = status()
    const facts = { latest: Number(latest), safe: Number(safe), finalized: Number(finalized), postedBytes, batches, checkpoints }
    const text = json
      ? JSON.stringify({ status: facts })
      : [
          `latest ${latest} · safe ${safe} · finalized ${finalized}`,
          `posted ${postedBytes.toLocaleString('en')} bytes in ${batches} batches · ${checkpoints} checkpoints`,
        ].join(' · ')
    if (text === last) return
    last = text
    print(live ? `\r\u001b[2K${text}` : `${text}\n`)
  }, 1_000)
  return () => {
    clearInterval(timer)
    if (live) print('\n')
  }
}

function devnetText(devnet: Devnet): string {
  const contracts = Object.entries(contractsOf(devnet)).map(([name, address]) => `  ${name.padEnd(18)} ${address}`)
  const accounts = devnet.accounts.map(({ address, privateKey }) => `  ${address}  ${privateKey}`)
  return [
    '',
    `L2 JSON-RPC   ${devnet.node.rpcUrl}   WebSocket ${devnet.node.wsUrl}   chain id ${devnet.genesis.params.chainId}`,
    `L1 JSON-RPC   ${devnet.l1Url}   chain id ${devnet.genesis.l1.chainId}`,
    `Peers         ${devnet.node.p2p.join(',')}`,
    '',
    'Contracts on L1',
    ...contracts,
    '',
    'Accounts with 1,000,000 OPEN on each side of L2 (keys known to everyone: for play only)',
    ...accounts,
    '',
    `Data in ${devnet.dataDir}. Ctrl-C stops everything. Try: npm run demo`,
    '',
    '',
  ].join('\n')
}

function contractsOf({ genesis }: Devnet) {
  const { openToken, portal, inbox, systemConfig, checkpointManager, validatorRegistry, bridge, fraudVerifier } = genesis.l1
  return { openToken, portal, inbox, systemConfig, checkpointManager, validatorRegistry, bridge, fraudVerifier }
}

async function runGenesis([file]: readonly string[], { json }: ConfigOf<'genesis'>): Promise<number> {
  if (file === undefined) throw new UsageError('name the genesis file: tributary genesis FILE')
  const { createGenesisBlock } = await import('../execution/genesisBlock.ts')
  const { decodeGenesis } = await import('../genesis/genesis.ts')
  const { hash, roots } = createGenesisBlock(decodeGenesis(readFileSync(file, 'utf8')))
  print(
    json
      ? `${JSON.stringify({ hash, ...roots })}\n`
      : `block 0       ${hash}\nEVM root      ${roots.evmRoot}\nledger root   ${roots.ledgerRoot}\n`,
  )
  return 0
}

function openLog(config: { readonly json: boolean; readonly 'log-level': string }): Log {
  const level = LEVELS.find((known) => known === config['log-level'])
  if (!level) throw new UsageError(`--log-level is one of ${LEVELS.join(', ')}`)
  return createLog({ level, json: config.json, write: (line) => process.stderr.write(line) })
}

function print(text: string): void {
  process.stdout.write(text)
}
