"""SQL of what is true of the whole installation."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics_app.installation.models import InstallationRow


async def agree_on(db: AsyncConnection, name: str, value: str) -> str:
    """The value noted under `name`: `value` itself, where none was noted before."""
    noted = await db.execute(
        insert(InstallationRow)
        .values(name=name, value=value)
        .on_conflict_do_update(index_elements=[InstallationRow.name], set_={"name": InstallationRow.name})
        .returning(InstallationRow.value)
    )
    return str(noted.scalar_one())
