/** A local Ethereum for tests: anvil, from npm, on a port of its own, gone when the test is. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import type { Hex } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'

/** `url` serves JSON-RPC and, below /eth, anvil's part of the beacon API. */
export type Anvil = { readonly url: string; stop(): Promise<void> }

export type AnvilOptions = {
  /** Seconds between blocks; without it a block is mined for every transaction. */
  readonly blockTimeSec?: number
  /** No blocks but those asked for with `evm_mine`. */
  readonly noMining?: boolean
  /** The newest that anvil 1.7 runs, unless a test wants an older one. */
  readonly hardfork?: string
  /** Another than anvil's own. */
  readonly chainId?: number
  /** Keeps what `debug_` methods tell of operations. */
  readonly stepsTracing?: boolean
}

/** Chain id of an anvil that is told nothing else. */
export const ANVIL_CHAIN_ID = 31_337

/** The first of the accounts that anvil gives ether to: keys known to everyone. */
export const ANVIL_ACCOUNTS: readonly [PrivateKeyAccount, PrivateKeyAccount, PrivateKeyAccount, PrivateKeyAccount] = [
  privateKeyToAccount('0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'),
  privateKeyToAccount('0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d'),
  privateKeyToAccount('0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a'),
  privateKeyToAccount('0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6'),
]

/** Starts anvil and waits until it listens. Rejects with what it printed if it does not within 20 s. */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const args = ['--host', '127.0.0.1', '--port', '0', '--hardfork', options.hardfork ?? 'bpo2', '--gas-limit', '60000000']
  if (options.blockTimeSec !== undefined) args.push('--block-time', String(options.blockTimeSec))
  if (options.chainId !== undefined) args.push('--chain-id', String(options.chainId))
  if (options.stepsTracing) args.push('--steps-tracing')
  if (options.noMining) args.push('--no-mining')
  // The binary itself and not the package's launcher, so that the child's handle is anvil's.
  const require = createRequire(createRequire(import.meta.url).resolve('@foundry-rs/anvil/package.json'))
  const arch = process.arch === 'x64' ? 'amd64' : process.arch
  const suffix = process.platform === 'win32' ? '.exe' : ''
  const child = spawn(require.resolve(`@foundry-rs/anvil-${process.platform}-${arch}/bin/anvil${suffix}`), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const killChild = () => child.kill('SIGKILL')
  process.on('exit', killChild)
  const stop = async () => {
    process.off('exit', killChild)
    await ended(child)
  }
  try {
    return { url: `http://${await listening(child)}`, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = ''
    const timer = setTimeout(() => reject(new Error(`anvil does not listen after 20 s: ${printed}`)), 20_000)
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
      reject(new Error(`anvil ended: ${printed}`))
    })
  })
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exit
}

/** An address that nothing on any chain is known of. */
export function unusedAddress(seed: number): Hex {
  return `0x${seed.toString(16).padStart(40, 'f')}`
}
