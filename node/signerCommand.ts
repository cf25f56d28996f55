/** `tributary signer`: a process that holds a validator's key, so that no node has to (docs/spec/signer.md#the-remote-signer). */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Hex } from 'viem'
import { guardAbove } from '../consensus/signerGuard.ts'
import { type CheckpointGuardFile, openCheckpointGuardFile } from './checkpointGuardFile.ts'
import { type ConfigOf, UsageError } from './config.ts'
import { KeyError } from './keys.ts'
import { chainIdOption } from './keysCommand.ts'
import type { Log } from './log.ts'
import { openValidatorKey } from './openKey.ts'
import { openSignerGuardFile } from './signerGuardFile.ts'
import { startSignerServer } from './signerServer.ts'
import { loadToken, parseSignerAddress } from './signerWire.ts'

export type Signer = {
  /** What a node takes as --signer, and what it takes as --signer-token-file. */
  readonly url: string
  readonly tokenFile: string
  readonly publicKey: Hex
  readonly chainId: number
  close(): Promise<void>
}

export type SignerOptions = {
  readonly config: ConfigOf<'signer'>
  readonly log: Log
  onFatal(error: unknown): void
}

/** Starts it. Throws UsageError, KeyError, KeystoreError. */
export async function startSigner({ config, log, onFatal }: SignerOptions): Promise<Signer> {
  const dataDir = config['data-dir']
  if (dataDir === undefined) throw new UsageError('--data-dir DIR is required')
  const address = parseSignerAddress(config.listen, '--listen')
  const chainId = chainIdOption(config['chain-id'], dataDir)
  const above = config['above-height']
  const tokenFile = config['token-file'] ?? join(dataDir, 'signer.token')
  const key = await openValidatorKey(dataDir, config)
  if (!key) throw new KeyError(`there is no validator's key in ${dataDir}: tributary keys new makes one`)
  const guardDir = join(dataDir, 'signer')
  const isNew = !existsSync(join(guardDir, 'guard'))
  const guardFile = await openSignerGuardFile(guardDir, above === undefined ? undefined : guardAbove(above, chainId))
  let checkpointGuard: CheckpointGuardFile | undefined
  try {
    checkpointGuard = openCheckpointGuardFile(guardDir)
    if (isNew && above === undefined)
      log.warn('this key has no guard yet: if it has signed elsewhere, start with --above-height', { guardDir })
    const token = loadToken(tokenFile, { create: config['token-file'] === undefined })
    const server = await startSignerServer({ key, chainId, token, address, guardFile, checkpointGuard, log, nowMs: Date.now, onFatal })
    log.info('signer ready', { url: server.url, publicKey: key.publicKey, chainId })
    return {
      url: server.url,
      tokenFile,
      publicKey: key.publicKey,
      chainId,
      async close() {
        await server.close()
        checkpointGuard?.close()
        await guardFile.close()
      },
    }
  } catch (error) {
    checkpointGuard?.close()
    await guardFile.close()
    throw error
  }
}
