/** A local Ethereum: anvil, whose binary npm brings. For development networks and tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'

/** `url` serves JSON-RPC and, below /eth, the part of the beacon API that has blobs. */
export type Anvil = { readonly url: string; readonly pid: number; stop(): Promise<void> }

export type AnvilOptions = {
  /** Seconds between blocks; without it a block is mined for every transaction. */
  readonly blockTimeSec?: number
  /** No blocks but those asked for with `evm_mine`. */
  readonly noMining?: boolean
  /** The newest that anvil 1.7 runs, unless somebody wants an older one. */
  readonly hardfork?: string
  /** Any free one if absent. */
  readonly port?: number
  /** File in which the chain is kept: read at the start, written every second and at the end. */
  readonly stateFile?: string
  /** Gas of a block; 60 million, as on Ethereum, unless told. */
  readonly gasLimit?: number
  /** Blocks after which a block is safe, and half of those after which it is final. anvil's own is 32. */
  readonly slotsInAnEpoch?: number
}

/** anvil did not start. */
export class AnvilError extends Error {
  override readonly name = 'AnvilError'
  readonly retryable = false
}

/** Longest that anvil may take to listen, and to end. */
const START_MAX_MS = 20_000
const STOP_MAX_MS = 5_000

/** Starts anvil and waits until it listens. Throws AnvilError with what it printed. */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const args = [
    '--host',
    '127.0.0.1',
    '--port',
    String(options.port ?? 0),
    '--hardfork',
    options.hardfork ?? 'bpo2',
    '--gas-limit',
    String(options.gasLimit ?? 60_000_000),
  ]
  if (options.blockTimeSec !== undefined) args.push('--block-time', String(options.blockTimeSec))
  if (options.noMining) args.push('--no-mining')
  if (options.slotsInAnEpoch !== undefined) args.push('--slots-in-an-epoch', String(options.slotsInAnEpoch))
  if (options.stateFile !== undefined) args.push('--state', options.stateFile, '--state-interval', '1', '--preserve-historical-states')
  // The binary itself and not the package's launcher, so that the child's handle is anvil's. A group of its own: Ctrl-C in a terminal
  // reaches us alone, and we end it when we are done with it.
  const child = spawn(anvilBinary(), args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const killChild = () => child.kill('SIGKILL')
  process.on('exit', killChild)
  const stop = async () => {
    process.off('exit', killChild)
    await end(child)
  }
  try {
    return { url: `http://${await listening(child)}`, pid: child.pid ?? 0, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function anvilBinary(): string {
  const launcher = createRequire(createRequire(import.meta.url).resolve('@foundry-rs/anvil/package.json'))
  const arch = process.arch === 'x64' ? 'amd64' : process.arch
  const suffix = process.platform === 'win32' ? '.exe' : ''
  try {
    return launcher.resolve(`@foundry-rs/anvil-${process.platform}-${arch}/bin/anvil${suffix}`)
  } catch (error) {
    throw new AnvilError(`npm has no anvil for ${process.platform} ${process.arch}: give an L1 with --l1`, { cause: error })
  }
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = ''
    const timer = setTimeout(() => reject(new AnvilError(`anvil does not listen after ${START_MAX_MS / 1000} s: ${printed}`)), START_MAX_MS)
    const read = (chunk: Buffer) => {
      // The output goes on for as long as anvil lives; only its beginning is of interest.
      if (printed.length < 16_384) printed += chunk.toString()
      const address = /Listening on (\S+)/.exec(printed)?.[1]
      if (address === undefined) return
      clearTimeout(timer)
      resolve(address)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('error', reject)
    child.once('exit', () => {
      clearTimeout(timer)
      reject(new AnvilError(`anvil ended: ${printed}`))
    })
  })
}

/** SIGTERM first, so that anvil writes its state. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MAX_MS)
  await exit
  clearTimeout(timer)
}
