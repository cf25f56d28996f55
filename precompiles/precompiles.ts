/** The table of our precompiles, which node/ makes with native curves and hands to execution/vm.ts. A new one is a file and a line here. */
import type { Precompile } from '../execution/precompile.ts'
import { ledgerDoor } from './0a00-ledger.ts'
import { datanetsDoor } from './0a01-datanets.ts'
import { modelsDoor } from './0a02-models.ts'
import { workersDoor } from './0a03-workers.ts'
import { creditsDoor } from './0a04-credits.ts'
import { paramsDoor } from './0a05-params.ts'
import { receiptVerifier } from './0a10-receipt.ts'
import { inclusionVerifier } from './0a11-inclusion.ts'
import { createAttestationVerifier } from './0a12-attestation.ts'
import { spanVerifier } from './0a13-span.ts'
import { longestVerifier } from './0a14-longest.ts'
import { sharesVerifier } from './0a15-shares.ts'
import { createP384Verifier } from './0a16-p384.ts'
import { gasPriceOracle } from './420f-gasPriceOracle.ts'
import { type Curves, PURE_CURVES } from './curves.ts'

/** Every precompile of ours, by address. */
export function createPrecompiles(curves: Curves): readonly Precompile[] {
  return [
    ledgerDoor,
    datanetsDoor,
    modelsDoor,
    workersDoor,
    creditsDoor,
    paramsDoor,
    gasPriceOracle,
    receiptVerifier,
    inclusionVerifier,
    createAttestationVerifier(curves),
    spanVerifier,
    longestVerifier,
    sharesVerifier,
    createP384Verifier(curves),
  ]
}

/** The table without anything native: the same answers, later. */
export const PRECOMPILES: readonly Precompile[] = createPrecompiles(PURE_CURVES)
